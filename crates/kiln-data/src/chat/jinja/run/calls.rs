//! Attributes, items and calls of the values that belong to a rendering.

use super::Renderer;
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    methods,
    syntax::ast::Name,
    value::{self, Value},
};

impl Renderer<'_> {
    /// `value.name`.
    #[inline(never)]
    pub(in crate::chat::jinja) fn attribute(&self, value: &Value, name: &Name) -> Result<Value> {
        let missing = || Value::undefined(format!("'{} object' has no attribute '{name}'", value.type_name()));
        match value {
            Value::Namespace(index) => {
                let attributes = &self.namespaces.borrow()[*index];
                Ok(attributes.get(name).cloned().unwrap_or_else(missing))
            }
            Value::Loop(state) => Ok(state.attribute(name)?.unwrap_or_else(missing)),
            Value::Macro(index) => self.macro_attribute(*index, name),
            Value::Cycler(_) | Value::Joiner(_) | Value::Function(_) | Value::Method(_) => {
                if let (Value::Cycler(index), "current") = (value, &**name) {
                    let (items, position) = &self.cyclers.borrow()[*index];
                    return Ok(items[*position].clone());
                }
                if methods::is_method_of_object(value, name) {
                    return Value::method(value.clone(), name.clone());
                }
                Err(Error::unsupported(format_args!("the attribute `{name}` of a {}", value.type_name())))
            }
            other => value::get_attribute(other, name),
        }
    }

    /// `value[key]`.
    pub(in crate::chat::jinja) fn item(&self, value: &Value, key: &Value) -> Result<Value> {
        match (value, key) {
            (Value::Namespace(_) | Value::Loop(_) | Value::Macro(_) | Value::Cycler(_), Value::Text(name)) => {
                self.attribute(value, name)
            }
            _ => {
                // An index counts the characters of a text.
                self.charge(value.as_text().map_or(0, |text| text.len() / 64))?;
                value::get_item(value, key)
            }
        }
    }

    /// The value of a call.
    #[inline(never)]
    pub(super) fn call(&self, callee: &Value, arguments: Arguments) -> Result<Value> {
        self.charge(1)?;
        match callee {
            Value::Function(function) => self.call_function(*function, arguments),
            Value::Macro(index) => self.call_macro(*index, arguments, None),
            Value::Loop(state) => self.recurse(state, arguments),
            Value::Joiner(index) => {
                arguments.none("joiner")?;
                let (separator, was_used) = &mut self.joiners.borrow_mut()[*index];
                Ok(if std::mem::replace(was_used, true) { separator.clone() } else { Value::text("") })
            }
            Value::Method(method) => {
                let (receiver, name) = &**method;
                self.call_method(receiver, name, arguments)
            }
            Value::Undefined(reason) => Err(Error::new(&**reason)),
            other => Err(Error::new(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    #[inline(never)]
    fn call_method(&self, receiver: &Value, name: &str, arguments: Arguments) -> Result<Value> {
        match receiver {
            Value::Loop(state) => state.call(name, arguments),
            Value::Cycler(index) => self.call_cycler(*index, name, arguments),
            Value::Function(_) => self.dict_from_keys(arguments),
            _ => {
                let weight: usize = arguments.positional.iter().map(|value| value.extent().weight).sum();
                self.charge(receiver.size() + weight / 16)?;
                methods::call(self, receiver, name, arguments).and_then(|value| self.charged(value))
            }
        }
    }

    fn call_cycler(&self, index: usize, name: &str, arguments: Arguments) -> Result<Value> {
        arguments.none(name)?;
        let (items, position) = &mut self.cyclers.borrow_mut()[index];
        if name == "reset" {
            *position = 0;
            return Ok(Value::None);
        }
        let current = items[*position].clone();
        *position = (*position + 1) % items.len();
        Ok(current)
    }
}
