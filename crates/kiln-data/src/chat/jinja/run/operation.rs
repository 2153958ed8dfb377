//! Arguments of calls, filters and tests.

use super::{Renderer, scope::Scope};
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    filters, predicates,
    syntax::ast::{CallArguments, Expression, Node, Operation},
    value::Value,
};

impl<'t> Renderer<'t> {
    /// The arguments of a call, those of `*` and `**` included.
    #[inline(never)]
    pub(super) fn arguments(&self, arguments: &'t CallArguments, scope: &Scope) -> Result<Arguments> {
        let mut values = Arguments::new(self.evaluate_all(&arguments.positional, scope)?);
        for (name, node) in &arguments.keyword {
            values.keyword.push((name.clone(), self.evaluate(node, scope)?));
        }
        if let Some(star) = &arguments.star {
            let star = self.evaluate(star, scope)?;
            values.positional.extend(self.items(&star)?);
        }
        if let Some(double_star) = &arguments.double_star {
            let Value::Dict(dict) = self.evaluate(double_star, scope)? else {
                return Err(Error::new("the argument behind ** must be a mapping"));
            };
            for (name, value) in dict.iter() {
                let name = name.as_text().ok_or_else(|| Error::new("keywords must be strings"))?;
                values.keyword.push((name.into(), value.clone()));
            }
        }
        Ok(values)
    }

    /// A chain of filters. `text` is the operand of the first filter of a block.
    #[inline(never)]
    pub(super) fn filter(&self, operation: &'t Operation, text: Option<&Value>, scope: &Scope) -> Result<Value> {
        let operand = match (&operation.operand, text) {
            (Some(Node { expression: Expression::Filter(inner), line }), text) => {
                self.deeper(*line, || self.filter(inner, text, scope))?
            }
            (Some(node), _) => self.evaluate(node, scope)?,
            (None, text) => text.cloned().unwrap_or(Value::None),
        };
        let arguments = self.arguments(&operation.arguments, scope)?;
        self.apply_filter(&operation.name, operand, arguments)
    }

    /// The value of a filter by its name.
    pub(in crate::chat::jinja) fn apply_filter(
        &self,
        name: &str,
        operand: Value,
        arguments: Arguments,
    ) -> Result<Value> {
        let cost = if filters::reads_all_parts(name) { operand.extent().weight / 16 } else { 0 };
        self.charge(1 + cost)?;
        let value = filters::apply(self, name, operand, arguments)?;
        // Lists that filters make are paid for item by item.
        self.charge(value.as_text().map_or(0, |text| text.len() / 64))?;
        Ok(value)
    }

    #[inline(never)]
    pub(super) fn test(&self, operation: &'t Operation, scope: &Scope) -> Result<Value> {
        let operand = match &operation.operand {
            Some(operand) => self.evaluate(operand, scope)?,
            None => Value::None,
        };
        let arguments = self.arguments(&operation.arguments, scope)?;
        // Without an argument, a test looks at the type or at one text.
        let cost = if arguments.positional.is_empty() { 0 } else { operand.extent().weight / 16 };
        self.charge(1 + cost)?;
        predicates::apply(&operation.name, &operand, arguments).map(Value::Bool)
    }
}
