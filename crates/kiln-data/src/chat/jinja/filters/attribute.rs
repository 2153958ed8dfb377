//! Attributes of items by a path: `"function.name"`, `"a.0"`.

use crate::chat::jinja::{
    error::{Error, Result},
    run::Renderer,
    value::{Value, get_attribute_only},
};

/// The parts of a path, looked up one after the other.
pub(super) struct Path(Vec<Value>);

impl Path {
    /// The path of an argument: text with dots, or one key.
    pub(super) fn new(attribute: &Value) -> Self {
        match attribute.as_text() {
            Some(text) => Self(text.split('.').map(part).collect()),
            None => Self(vec![attribute.clone()]),
        }
    }

    /// A path of an optional argument; without one, the item itself.
    pub(super) fn optional(attribute: Option<&Value>) -> Self {
        match attribute {
            None | Some(Value::None) => Self(Vec::new()),
            Some(attribute) => Self::new(attribute),
        }
    }

    /// The attribute of an item; `default` replaces what is undefined.
    pub(super) fn get(&self, renderer: &Renderer, item: &Value, default: Option<&Value>) -> Result<Value> {
        let mut value = item.clone();
        for part in &self.0 {
            value = renderer.item(&value, part)?;
            if let (Value::Undefined(_), Some(default)) =
                (&value, default.filter(|value| !matches!(value, Value::None)))
            {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

fn part(part: &str) -> Value {
    let is_index = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    part.parse().ok().filter(|_| is_index).map_or_else(|| Value::text(part), Value::Int)
}

/// The filter `attr`: an attribute of the Python object, and no item.
pub(super) fn get(renderer: &Renderer, value: &Value, name: &str) -> Result<Value> {
    match value {
        Value::Namespace(_) | Value::Loop(_) | Value::Macro(_) => renderer.attribute(value, &name.into()),
        Value::Cycler(_) | Value::Joiner(_) | Value::Function(_) | Value::Method(_) => {
            Err(Error::unsupported(format_args!("the filter `attr` of a {}", value.type_name())))
        }
        other => get_attribute_only(other, &name.into()),
    }
}
