//! Macros and call blocks.

use super::{Renderer, scope::Scope};
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    syntax::ast::{Expression, Macro, Node},
    value::{Dict, Value},
};
use std::{rc::Rc, sync::Arc};

impl<'t> Renderer<'t> {
    /// The macro as a value that sees the variables of its definition.
    pub(super) fn define_macro(&self, definition: &'t Macro, scope: &Scope) -> Value {
        self.macros.borrow_mut().push((definition, scope.clone()));
        Value::Macro(self.macros.borrow().len() - 1)
    }

    /// `{% call %}`: calls a macro, with the body of the block as its `caller`.
    #[inline(never)]
    pub(super) fn call_block(&self, call: &'t Node, definition: &'t Arc<Macro>, scope: &Scope) -> Result<Value> {
        let Expression::Call(callee, arguments) = &call.expression else {
            return Err(Error::new("`{% call %}` expects a call").at(call.line));
        };
        self.deeper(call.line, || {
            let callee = self.evaluate(callee, scope)?;
            let mut arguments = self.arguments(arguments, scope)?;
            let caller = self.define_macro(definition, scope);
            match callee {
                Value::Macro(index) => self.call_macro(index, arguments, Some(caller)),
                other => {
                    arguments.keyword.push(("caller".into(), caller));
                    self.call(&other, arguments)
                }
            }
        })
    }

    /// The text of a macro.
    #[inline(never)]
    pub(super) fn call_macro(&self, index: usize, arguments: Arguments, caller: Option<Value>) -> Result<Value> {
        let (definition, scope) = self.macros.borrow()[index].clone();
        let inner = scope.inner();
        self.bind_parameters(definition, arguments, caller, &inner)?;
        self.apart(|text| self.deeper(definition.line, || self.execute(&definition.body, &inner, text)).map(drop))
    }

    /// Assigns the arguments of a call to the parameters of a macro.
    #[inline(never)]
    fn bind_parameters(
        &self,
        definition: &'t Macro,
        arguments: Arguments,
        caller: Option<Value>,
        inner: &Scope,
    ) -> Result<()> {
        let name = definition.name.as_deref().unwrap_or("caller");
        let Arguments { positional, mut keyword } = arguments;
        let mut given = positional.into_iter();
        for (parameter, default) in &definition.parameters {
            let named = keyword.iter().position(|(keyword, _)| keyword == parameter);
            let value = match (given.next(), named) {
                (Some(value), _) => value,
                (None, Some(at)) => keyword.remove(at).1,
                (None, None) => match default {
                    Some(default) => self.evaluate(default, inner)?,
                    None => Value::undefined(format!("parameter '{parameter}' was not provided")),
                },
            };
            inner.set(parameter, value);
        }
        let varargs: Vec<Value> = given.collect();
        if definition.uses.varargs {
            inner.set(&"varargs".into(), Value::tuple(varargs)?);
        } else if !varargs.is_empty() {
            let max = definition.parameters.len();
            return Err(Error::new(format!("macro '{name}' takes not more than {max} argument(s)")));
        }
        self.bind_caller(definition, &mut keyword, caller, inner)?;
        if definition.uses.kwargs {
            let entries = keyword.into_iter().map(|(name, value)| (Value::Text(name), value));
            inner.set(&"kwargs".into(), Value::Dict(Rc::new(Dict::new(entries)?)));
        } else if let Some((keyword, _)) = keyword.first() {
            return Err(Error::new(format!("macro '{name}' takes no keyword argument '{keyword}'")));
        }
        Ok(())
    }

    fn bind_caller(
        &self,
        definition: &Macro,
        keyword: &mut Vec<(crate::chat::jinja::syntax::ast::Name, Value)>,
        caller: Option<Value>,
        inner: &Scope,
    ) -> Result<()> {
        let is_parameter = definition.parameters.iter().any(|(name, _)| **name == *"caller");
        if let Some(caller) = caller {
            keyword.push(("caller".into(), caller));
        }
        if definition.uses.caller && !is_parameter {
            let given = keyword.iter().position(|(name, _)| **name == *"caller").map(|at| keyword.remove(at).1);
            inner.set(&"caller".into(), given.unwrap_or_else(|| Value::undefined("No caller defined")));
        } else if is_parameter && let Some(at) = keyword.iter().position(|(name, _)| **name == *"caller") {
            inner.set(&"caller".into(), keyword.remove(at).1);
        }
        Ok(())
    }

    /// An attribute of a macro.
    pub(super) fn macro_attribute(&self, index: usize, name: &str) -> Result<Value> {
        let (definition, _) = self.macros.borrow()[index].clone();
        match name {
            "name" => Ok(definition.name.clone().map_or(Value::None, Value::Text)),
            "arguments" => {
                Value::tuple(definition.parameters.iter().map(|(name, _)| Value::Text(name.clone())).collect())
            }
            "catch_kwargs" => Ok(Value::Bool(definition.uses.kwargs)),
            "catch_varargs" => Ok(Value::Bool(definition.uses.varargs)),
            "caller" => Ok(Value::Bool(definition.uses.caller)),
            _ => Ok(Value::undefined(format!("'Macro object' has no attribute '{name}'"))),
        }
    }
}
