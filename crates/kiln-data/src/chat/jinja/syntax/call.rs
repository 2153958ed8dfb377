//! Collections, attributes, items, calls, filters and tests.

use super::{
    super::{
        error::{Error, Result},
        filters, predicates,
    },
    ast::{CallArguments, Expression, Literal, Name, Node, Operation, UnaryOperator},
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
