//! Evaluation of expressions.

use super::{Function, Renderer, scope::Scope};
use crate::chat::jinja::{
    error::{Error, Result},
    syntax::ast::{BinaryOperator, Comparison, Conditional, Expression, Node},
    value::{self, Dict, Value},
};
use std::{cmp::Ordering, rc::Rc};

impl<'t> Renderer<'t> {
    /// The value of an expression.
    pub(super) fn evaluate(&self, node: &'t Node, scope: &Scope) -> Result<Value> {
        self.deeper(node.line, || self.evaluate_expression(&node.expression, scope))
    }

    #[inline(never)]
    fn evaluate_expression(&self, expression: &'t Expression, scope: &Scope) -> Result<Value> {
        match expression {
            Expression::Literal(literal) => Ok(Value::from(literal)),
            Expression::Name(name) => variable(name, scope),
            Expression::Tuple(items) => Value::tuple(self.evaluate_all(items, scope)?),
            Expression::List(items) => Value::list(self.evaluate_all(items, scope)?),
            Expression::Dict(entries) => self.dict(entries, scope),
            Expression::Unary(operator, operand) => value::unary(*operator, &self.evaluate(operand, scope)?),
            Expression::Binary(..) => self.binary(expression, scope),
            Expression::And(operands) => self.either(operands, false, scope),
            Expression::Or(operands) => self.either(operands, true, scope),
            Expression::Compare(first, others) => self.comparisons(first, others, scope),
            Expression::Concat(parts) => self.concat(parts, scope),
            Expression::Conditional(conditional) => self.conditional(conditional, scope),
            Expression::Attribute(operand, name) => self.attribute(&self.evaluate(operand, scope)?, name),
            Expression::Item(operands) => {
                let [operand, key] = self.both(operands, scope)?;
                self.item(&operand, &key)
            }
            Expression::Slice(operand, bounds) => self.slice(operand, bounds, scope),
            Expression::Call(callee, arguments) => {
                let callee = self.evaluate(callee, scope)?;
                let arguments = self.arguments(arguments, scope)?;
                self.call(&callee, arguments)
            }
            Expression::Filter(operation) => self.filter(operation, None, scope),
            Expression::Test(operation) => self.test(operation, scope),
        }
    }

    pub(super) fn evaluate_all(&self, nodes: &'t [Node], scope: &Scope) -> Result<Vec<Value>> {
        nodes.iter().map(|node| self.evaluate(node, scope)).collect()
    }

    fn both(&self, nodes: &'t [Node; 2], scope: &Scope) -> Result<[Value; 2]> {
        Ok([self.evaluate(&nodes[0], scope)?, self.evaluate(&nodes[1], scope)?])
    }

    /// A value, after the fuel for its memory is paid.
    pub(super) fn charged(&self, value: Value) -> Result<Value> {
        self.charge(value.size()).map(|()| value)
    }

    #[inline(never)]
    fn dict(&self, entries: &'t [(Node, Node)], scope: &Scope) -> Result<Value> {
        let entries = entries.iter().map(|(key, value)| Ok((self.evaluate(key, scope)?, self.evaluate(value, scope)?)));
        Ok(Value::Dict(Rc::new(Dict::new(entries.collect::<Result<Vec<_>>>()?)?)))
    }

    /// A chain of operators, from left to right.
    #[inline(never)]
    fn binary(&self, mut expression: &'t Expression, scope: &Scope) -> Result<Value> {
        let mut others = Vec::new();
        let mut first = None;
        while let Expression::Binary(operator, operands) = expression {
            others.push((*operator, &operands[1]));
            first = Some(&operands[0]);
            expression = &operands[0].expression;
        }
        let mut left = first.map_or(Ok(Value::None), |first| self.evaluate(first, scope))?;
        for (operator, right) in others.into_iter().rev() {
            let line = right.line;
            let right = self.evaluate(right, scope)?;
            let is_format = operator == BinaryOperator::Remainder;
            self.charge(left.size() + if is_format { right.extent().weight } else { right.size() })?;
            let value = value::binary(operator, &left, &right).and_then(|value| self.charged(value));
            left = value.map_err(|error| error.at(line))?;
        }
        Ok(left)
    }

    /// `and` (`decides` is false) and `or` (true): the first operand if it decides, else the second.
    #[inline(never)]
    fn either(&self, operands: &'t [Node; 2], decides: bool, scope: &Scope) -> Result<Value> {
        let first = self.evaluate(&operands[0], scope)?;
        if first.is_true() == decides { Ok(first) } else { self.evaluate(&operands[1], scope) }
    }

    #[inline(never)]
    fn conditional(&self, conditional: &'t Conditional, scope: &Scope) -> Result<Value> {
        if self.evaluate(&conditional.condition, scope)?.is_true() {
            return self.evaluate(&conditional.value, scope);
        }
        match &conditional.otherwise {
            Some(otherwise) => self.evaluate(otherwise, scope),
            None => Ok(Value::undefined("an `if` without `else` has no value when its condition does not hold")),
        }
    }

    #[inline(never)]
    fn comparisons(&self, first: &'t Node, others: &'t [(Comparison, Node)], scope: &Scope) -> Result<Value> {
        let mut left = self.evaluate(first, scope)?;
        for (comparison, node) in others {
            let right = self.evaluate(node, scope)?;
            if !self.compare(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn compare(&self, comparison: Comparison, left: &Value, right: &Value) -> Result<bool> {
        let (left_weight, right_weight) = (left.extent().weight, right.extent().weight);
        let is_search = matches!(comparison, Comparison::In | Comparison::NotIn);
        self.charge(if is_search { right_weight } else { left_weight.min(right_weight) } / 16)?;
        let order = |operator| value::compare(left, right, operator);
        Ok(match comparison {
            Comparison::Equal => value::equal(left, right),
            Comparison::NotEqual => !value::equal(left, right),
            Comparison::Less => order("<")? == Some(Ordering::Less),
            Comparison::LessOrEqual => order("<=")?.is_some_and(Ordering::is_le),
            Comparison::Greater => order(">")? == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => order(">=")?.is_some_and(Ordering::is_ge),
            Comparison::In => value::contains(right, left)?,
            Comparison::NotIn => !value::contains(right, left)?,
        })
    }

    /// The text of a value, after the fuel for its parts is paid.
    pub(super) fn text_of(&self, value: &Value) -> Result<String> {
        self.charge(value.extent().weight)?;
        value::to_text(value)
    }

    #[inline(never)]
    fn concat(&self, parts: &'t [Node], scope: &Scope) -> Result<Value> {
        let mut text = String::new();
        for value in self.evaluate_all(parts, scope)? {
            self.write(&self.text_of(&value)?, &mut text)?;
        }
        Ok(Value::text(text))
    }

    #[inline(never)]
    fn slice(&self, operand: &'t Node, bounds: &'t [Option<Node>; 3], scope: &Scope) -> Result<Value> {
        let operand = self.evaluate(operand, scope)?;
        let mut values = [Value::None, Value::None, Value::None];
        for (value, bound) in values.iter_mut().zip(bounds) {
            if let Some(bound) = bound {
                *value = self.evaluate(bound, scope)?;
            }
        }
        self.charge(operand.size())?;
        value::slice(&operand, values.each_ref())
    }
}

/// A variable or a function; undefined if there is none of this name.
fn variable(name: &str, scope: &Scope) -> Result<Value> {
    match scope.get(name).or_else(|| Function::from_name(name).map(Value::Function)) {
        Some(value) => Ok(value),
        None if ["self", "super"].contains(&name) => Err(Error::unsupported(format_args!("the variable `{name}`"))),
        None => Ok(Value::undefined(format!("'{name}' is undefined"))),
    }
}
