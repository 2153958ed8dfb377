//! Names that are assigned: targets of assignments and loops, and parameters of macros.

use super::{
    super::error::{Error, Result},
    ast::{Name, Node, Target},
    stream::Parser,
    tokens::Token,
};

impl Parser {
    /// The parameters of a macro, with their defaults.
    pub(super) fn parameters(&mut self) -> Result<Vec<(Name, Option<Node>)>> {
        let mut parameters: Vec<(Name, Option<Node>)> = Vec::new();
        self.expect_operator("(")?;
        while !self.is_operator(")") {
            let name = self.assignable_name()?;
            let default = if self.skip_operator("=") { Some(self.expression()?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|(_, default)| default.is_some()) {
                return Err(self.unexpected("a default value"));
            }
            parameters.push((name, default));
            if !self.skip_operator(",") {
                break;
            }
        }
        self.expect_operator(")")?;
        Ok(parameters)
    }

    /// What is assigned to: a name, names with commas between them, or attributes of namespaces.
    pub(super) fn target(&mut self, with_namespaces: bool) -> Result<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            targets.push(self.single_target(with_namespaces)?);
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
            if !matches!(self.current(), Token::Operator("("))
                && !matches!(self.current(), Token::Name(name) if **name != *"in")
            {
                break;
            }
        }
        Ok(if is_tuple { Target::Tuple(targets) } else { targets.remove(0) })
    }

    fn single_target(&mut self, with_namespaces: bool) -> Result<Target> {
        if self.skip_operator("(") {
            let target = self.nested(|parser| parser.target(with_namespaces))?;
            self.expect_operator(")")?;
            return Ok(target);
        }
        let name = self.assignable_name()?;
        if with_namespaces && self.skip_operator(".") {
            return Ok(Target::NamespaceAttribute(name, self.expect_name()?));
        }
        Ok(Target::Name(name))
    }

    pub(super) fn assignable_name(&mut self) -> Result<Name> {
        if ["true", "false", "none", "True", "False", "None"].iter().any(|constant| self.is_name(constant)) {
            return Err(self.unexpected("a name that can be assigned"));
        }
        if self.loop_depth > 0 && self.is_name("loop") {
            return Err(Error::new("`loop` cannot be assigned in a loop").at(self.line()));
        }
        self.expect_name()
    }
}
