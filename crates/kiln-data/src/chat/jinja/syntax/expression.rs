//! Expressions, by precedence: conditional, `or`, `and`, `not`, comparison, `+ -`, `~`, `* / // %`, `**`, sign.

use super::{
    super::error::Result,
    ast::{BinaryOperator, Comparison, Conditional, Expression, Literal, Node, UnaryOperator},
    stream::{Parser, node},
    tokens::Token,
};

const SUMS: [(&str, BinaryOperator); 2] = [("+", BinaryOperator::Add), ("-", BinaryOperator::Subtract)];
const PRODUCTS: [(&str, BinaryOperator); 4] = [
    ("*", BinaryOperator::Multiply),
    ("/", BinaryOperator::Divide),
    ("//", BinaryOperator::FloorDivide),
    ("%", BinaryOperator::Remainder),
];
const POWERS: [(&str, BinaryOperator); 1] = [("**", BinaryOperator::Power)];
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Parser {
    /// An expression, conditional ones included.
    pub(super) fn expression(&mut self) -> Result<Node> {
        self.nested(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Node> {
        let (line, num_unknown) = (self.line(), self.unknown.len());
        let mut value = self.disjunction()?;
        while self.skip_name("if") {
            self.count_operator()?;
            let condition = self.disjunction()?;
            let otherwise = if self.skip_name("else") { Some(self.expression()?) } else { None };
            value = node(Expression::Conditional(Box::new(Conditional { condition, value, otherwise })), line);
            self.unknown.truncate(num_unknown);
        }
        Ok(value)
    }

    /// An expression that is not conditional.
    pub(super) fn disjunction(&mut self) -> Result<Node> {
        let line = self.line();
        let mut left = self.conjunction()?;
        while self.skip_name("or") {
            self.count_operator()?;
            left = node(Expression::Or(Box::new([left, self.conjunction()?])), line);
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Node> {
        let line = self.line();
        let mut left = self.negation()?;
        while self.skip_name("and") {
            self.count_operator()?;
            left = node(Expression::And(Box::new([left, self.negation()?])), line);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Node> {
        let line = self.line();
        if self.skip_name("not") {
            let operand = self.nested(Self::negation)?;
            return Ok(node(Expression::Unary(UnaryOperator::Not, Box::new(operand)), line));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node> {
        let line = self.line();
        let first = self.sum()?;
        let mut others = Vec::new();
        while let Some(comparison) = self.skip_comparison() {
            self.count_operator()?;
            others.push((comparison, self.sum()?));
        }
        Ok(if others.is_empty() { first } else { node(Expression::Compare(Box::new(first), others), line) })
    }

    fn skip_comparison(&mut self) -> Option<Comparison> {
        if let Some((_, comparison)) = COMPARISONS.iter().find(|(operator, _)| self.is_operator(operator)) {
            self.next();
            return Some(*comparison);
        }
        if self.skip_name("in") {
            return Some(Comparison::In);
        }
        let is_not_in = self.is_name("not") && matches!(self.following(), Token::Name(name) if **name == *"in");
        is_not_in.then(|| {
            self.next();
            self.next();
            Comparison::NotIn
        })
    }

    fn sum(&mut self) -> Result<Node> {
        self.binary(&SUMS, Self::concat)
    }

    fn concat(&mut self) -> Result<Node> {
        let line = self.line();
        let mut parts = vec![self.product()?];
        while self.skip_operator("~") {
            self.count_operator()?;
            parts.push(self.product()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { node(Expression::Concat(parts), line) })
    }

    fn product(&mut self) -> Result<Node> {
        self.binary(&PRODUCTS, Self::power)
    }

    fn power(&mut self) -> Result<Node> {
        self.binary(&POWERS, |parser| parser.unary(true))
    }

    /// A chain of operators of one precedence, from left to right.
    fn binary(&mut self, operators: &[(&str, BinaryOperator)], operand: fn(&mut Self) -> Result<Node>) -> Result<Node> {
        let line = self.line();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(operator, _)| self.is_operator(operator)) {
            self.next();
            self.count_operator()?;
            left = node(Expression::Binary(*operator, Box::new([left, operand(self)?])), line);
        }
        Ok(left)
    }

    /// An operand with its signs. Filters apply to the operand with its sign.
    fn unary(&mut self, with_filters: bool) -> Result<Node> {
        let line = self.line();
        let sign = [("-", UnaryOperator::Negative), ("+", UnaryOperator::Positive)];
        let operand = match sign.into_iter().find(|(operator, _)| self.is_operator(operator)) {
            Some((_, operator)) => {
                self.next();
                let operand = self.nested(|parser| parser.unary(false))?;
                node(Expression::Unary(operator, Box::new(operand)), line)
            }
            None => self.primary()?,
        };
        let operand = self.postfix(operand)?;
        if with_filters { self.filters_and_tests(operand) } else { Ok(operand) }
    }

    /// A name, a literal, or an expression in brackets.
    pub(super) fn primary(&mut self) -> Result<Node> {
        let line = self.line();
        let expression = match self.current().clone() {
            Token::Name(_) => return self.name(),
            Token::Text(_) => return self.strings(),
            Token::Int(value) => Expression::Literal(Literal::Int(value)),
            Token::Float(value) => Expression::Literal(Literal::Float(value)),
            Token::Operator("(") => {
                self.next();
                let value = self.tuple_or_value(true, true, false)?;
                self.expect_operator(")")?;
                return Ok(value);
            }
            Token::Operator("[") => return self.list(),
            Token::Operator("{") => return self.dict(),
            _ => return Err(self.unexpected("an expression")),
        };
        self.next();
        Ok(node(expression, line))
    }

    fn name(&mut self) -> Result<Node> {
        let line = self.line();
        let name = self.expect_name()?;
        let expression = match &*name {
            "true" | "True" => Expression::Literal(Literal::Bool(true)),
            "false" | "False" => Expression::Literal(Literal::Bool(false)),
            "none" | "None" => Expression::Literal(Literal::None),
            _ => {
                for uses in &mut self.macros {
                    uses.caller |= *name == *"caller";
                    uses.varargs |= *name == *"varargs";
                    uses.kwargs |= *name == *"kwargs";
                }
                Expression::Name(name)
            }
        };
        Ok(node(expression, line))
    }

    /// Adjacent strings are one string.
    fn strings(&mut self) -> Result<Node> {
        let line = self.line();
        let mut text = String::new();
        while let Token::Text(part) = self.current().clone() {
            text += &part;
            self.next();
        }
        Ok(node(Expression::Literal(Literal::Text(text.into())), line))
    }
}
