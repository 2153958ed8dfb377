//! Filters and tests behind an operand.

use super::{
    super::{
        error::{Error, Result},
        filters, predicates,
    },
    ast::{CallArguments, Expression, Name, Node, Operation, UnaryOperator},
    stream::{Parser, node},
    tokens::Token,
};

impl Parser {
    /// Filters `| name(…)`, tests `is name …` and calls behind an operand.
    pub(super) fn filters_and_tests(&mut self, mut operand: Node) -> Result<Node> {
        loop {
            let line = self.line();
            operand = if self.skip_operator("|") {
                self.filter(Some(operand), line)?
            } else if self.skip_name("is") {
                self.test(operand, line)?
            } else if self.is_operator("(") {
                let arguments = self.call_arguments()?;
                node(Expression::Call(Box::new(operand), arguments), line)
            } else {
                return Ok(operand);
            };
            self.count_operator()?;
        }
    }

    /// A filter behind its `|`.
    pub(super) fn filter(&mut self, operand: Option<Node>, line: usize) -> Result<Node> {
        let name = self.dotted_name()?;
        if !filters::exists(&name) {
            self.unknown.push(Error::new(format!("no filter named '{name}'")).at(line));
        }
        let arguments = self.optional_arguments()?;
        Ok(node(Expression::Filter(Box::new(Operation { name, operand, arguments })), line))
    }

    fn optional_arguments(&mut self) -> Result<CallArguments> {
        if self.is_operator("(") { self.call_arguments() } else { Ok(CallArguments::default()) }
    }

    /// A test behind its `is`. Its argument may have no brackets: `x is divisibleby 3`.
    fn test(&mut self, operand: Node, line: usize) -> Result<Node> {
        let is_negated = self.skip_name("not");
        let name = self.dotted_name()?;
        if !predicates::exists(&name) {
            self.unknown.push(Error::new(format!("no test named '{name}'")).at(line));
        }
        let arguments = self.arguments_of_test()?;
        let operation = Operation { name, operand: Some(operand), arguments };
        let test = node(Expression::Test(Box::new(operation)), line);
        Ok(if is_negated { node(Expression::Unary(UnaryOperator::Not, Box::new(test)), line) } else { test })
    }

    fn arguments_of_test(&mut self) -> Result<CallArguments> {
        let begins_argument = match self.current() {
            Token::Operator("(") => return self.call_arguments(),
            Token::Name(name) if **name == *"is" => return Err(self.unexpected("no second test")),
            Token::Name(name) => !["else", "or", "and"].contains(&&**name),
            Token::Text(_) | Token::Int(_) | Token::Float(_) | Token::Operator("[" | "{") => true,
            _ => false,
        };
        let mut arguments = CallArguments::default();
        if begins_argument {
            let argument = self.primary()?;
            arguments.positional.push(self.postfix(argument)?);
        }
        Ok(arguments)
    }

    fn dotted_name(&mut self) -> Result<Name> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_operator(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(name.into())
    }
}
