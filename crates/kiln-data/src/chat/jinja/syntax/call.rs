//! Collections, attributes, items and calls.

use super::{
    super::error::Result,
    ast::{CallArguments, Expression, Literal, Node},
    stream::{Parser, node},
    tokens::Token,
};

impl Parser {
    /// An expression, or several with commas between them, which are a tuple. Brackets may be empty if they are
    /// `explicit`.
    pub(super) fn tuple_or_value(&mut self, conditional: bool, explicit: bool, in_for: bool) -> Result<Node> {
        let line = self.line();
        let mut items = Vec::new();
        let mut is_tuple = false;
        while !self.ends_tuple(in_for) {
            items.push(if conditional { self.expression()? } else { self.disjunction()? });
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(value) if !is_tuple => Ok(value),
            Some(last) => {
                items.push(last);
                Ok(node(Expression::Tuple(items), line))
            }
            None if explicit => Ok(node(Expression::Tuple(items), line)),
            None => Err(self.unexpected("an expression")),
        }
    }

    fn ends_tuple(&self, in_for: bool) -> bool {
        let ends = matches!(self.current(), Token::VariableEnd | Token::BlockEnd | Token::Operator(")"));
        ends || (in_for && self.is_name("recursive"))
    }

    pub(super) fn list(&mut self) -> Result<Node> {
        let line = self.line();
        self.expect_operator("[")?;
        let mut items = Vec::new();
        while !self.is_operator("]") {
            items.push(self.expression()?);
            if !self.skip_operator(",") {
                break;
            }
        }
        self.expect_operator("]")?;
        Ok(node(Expression::List(items), line))
    }

    pub(super) fn dict(&mut self) -> Result<Node> {
        let line = self.line();
        self.expect_operator("{")?;
        let mut entries = Vec::new();
        while !self.is_operator("}") {
            let key = self.expression()?;
            self.expect_operator(":")?;
            entries.push((key, self.expression()?));
            if !self.skip_operator(",") {
                break;
            }
        }
        self.expect_operator("}")?;
        Ok(node(Expression::Dict(entries), line))
    }

    /// Attributes, items and calls behind an operand.
    pub(super) fn postfix(&mut self, mut operand: Node) -> Result<Node> {
        loop {
            let line = self.line();
            operand = match self.current() {
                Token::Operator(".") => self.attribute(operand)?,
                Token::Operator("[") => self.subscript(operand)?,
                Token::Operator("(") => {
                    let arguments = self.call_arguments()?;
                    node(Expression::Call(Box::new(operand), arguments), line)
                }
                _ => return Ok(operand),
            };
            self.count_operator()?;
        }
    }

    fn attribute(&mut self, operand: Node) -> Result<Node> {
        let line = self.line();
        self.expect_operator(".")?;
        if let Token::Int(index) = *self.current() {
            self.next();
            let index = node(Expression::Literal(Literal::Int(index)), line);
            return Ok(node(Expression::Item(Box::new([operand, index])), line));
        }
        let name = self.expect_name()?;
        Ok(node(Expression::Attribute(Box::new(operand), name), line))
    }

    fn subscript(&mut self, operand: Node) -> Result<Node> {
        let line = self.line();
        self.expect_operator("[")?;
        let mut bounds = [None, None, None];
        let mut num_colons = 0;
        while !self.is_operator("]") {
            if self.is_operator(":") && num_colons < 2 {
                self.next();
                num_colons += 1;
            } else if bounds[num_colons].is_none() && !self.is_operator(":") {
                let bound = self.expression()?;
                if num_colons == 0 && !self.is_operator(":") {
                    let index = self.index(bound)?;
                    return Ok(node(Expression::Item(Box::new([operand, index])), line));
                }
                bounds[num_colons] = Some(bound);
            } else {
                return Err(self.unexpected("`]`"));
            }
        }
        if num_colons == 0 {
            return Err(self.unexpected("an expression"));
        }
        self.expect_operator("]")?;
        Ok(node(Expression::Slice(Box::new(operand), Box::new(bounds)), line))
    }

    /// An index up to its bracket; several are a tuple.
    fn index(&mut self, first: Node) -> Result<Node> {
        let line = self.line();
        if self.skip_operator("]") {
            return Ok(first);
        }
        let mut indices = vec![first];
        while self.skip_operator(",") && !self.is_operator("]") {
            indices.push(self.expression()?);
        }
        self.expect_operator("]")?;
        Ok(node(Expression::Tuple(indices), line))
    }

    pub(super) fn call_arguments(&mut self) -> Result<CallArguments> {
        self.expect_operator("(")?;
        let mut arguments = CallArguments::default();
        while !self.is_operator(")") {
            self.argument(&mut arguments)?;
            if !self.skip_operator(",") {
                break;
            }
        }
        self.expect_operator(")")?;
        Ok(arguments)
    }

    fn argument(&mut self, arguments: &mut CallArguments) -> Result<()> {
        let is_positional_allowed = arguments.keyword.is_empty() && arguments.double_star.is_none();
        if self.skip_operator("**") {
            if arguments.double_star.is_some() {
                return Err(self.unexpected("one argument with `**`"));
            }
            arguments.double_star = Some(Box::new(self.expression()?));
        } else if self.skip_operator("*") {
            if arguments.star.is_some() || arguments.double_star.is_some() {
                return Err(self.unexpected("one argument with `*`, before `**`"));
            }
            arguments.star = Some(Box::new(self.expression()?));
        } else if let (Token::Name(name), Token::Operator("=")) = (self.current().clone(), self.following().clone()) {
            if arguments.double_star.is_some() {
                return Err(self.unexpected("named arguments before `**`"));
            }
            if arguments.keyword.iter().any(|(given, _)| *given == name) {
                return Err(self.unexpected("every argument once"));
            }
            self.next();
            self.next();
            let value = self.expression()?;
            arguments.keyword.push((name, value));
        } else {
            if !is_positional_allowed || arguments.star.is_some() {
                return Err(self.unexpected("positional arguments before named ones"));
            }
            arguments.positional.push(self.expression()?);
        }
        Ok(())
    }
}
