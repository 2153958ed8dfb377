//! Attributes and items: `value.name` and `value[key]`.
//!
//! The reference looks for a Python attribute first in `value.name`, and for an item first in `value[key]`; each falls
//! back to the other. So `schema.items` is the method of a dictionary, and `schema['items']` is its entry.

use super::{
    super::{
        error::{Error, Result},
        methods,
    },
    Value,
};
use std::sync::Arc;

/// `value.name`, without the attributes of namespaces, loops and macros, which belong to the rendering.
pub(in super::super) fn get_attribute(value: &Value, name: &Arc<str>) -> Result<Value> {
    value.ensure_defined()?;
    if let Some(attribute) = python_attribute(value, name)? {
        return Ok(attribute);
    }
    let item = match value {
        Value::Dict(dict) => dict.get_text(name).cloned(),
        _ => None,
    };
    Ok(item.unwrap_or_else(|| missing(value, name)))
}

/// `value.name` of the Python object alone, without the items of a dictionary.
pub(in super::super) fn get_attribute_only(value: &Value, name: &Arc<str>) -> Result<Value> {
    value.ensure_defined()?;
    Ok(python_attribute(value, name)?.unwrap_or_else(|| missing(value, name)))
}

/// `value[key]`, without namespaces.
pub(in super::super) fn get_item(value: &Value, key: &Value) -> Result<Value> {
    value.ensure_defined()?;
    let item = match (value, key.as_int()) {
        (Value::Dict(dict), _) => dict.get(key).cloned(),
        (Value::Text(text), Some(index)) => {
            let index = if text.is_ascii() { at(index, text.len()) } else { at(index, text.chars().count()) };
            index.and_then(|index| text.chars().nth(index)).map(|c| Value::text(c.encode_utf8(&mut [0; 4])))
        }
        (Value::Markup(_), Some(_)) => return Err(Error::unsupported("an item of escaped text")),
        (Value::List(items) | Value::Tuple(items), Some(index)) => {
            at(index, items.items.len()).map(|index| items.items[index].clone())
        }
        (Value::Range(range), Some(index)) => at(index, range.len()).map(|index| range.get(index)),
        _ => None,
    };
    match (item, key) {
        (Some(item), _) => Ok(item),
        (None, Value::Text(name)) => Ok(python_attribute(value, name)?.unwrap_or_else(|| missing(value, name))),
        (None, key) => Ok(missing(value, &super::repr::repr(key).unwrap_or_else(|_| key.type_name().into()))),
    }
}

/// The place of an index, which counts from the end if it is negative.
fn at(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i128)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn missing(value: &Value, name: &str) -> Value {
    Value::undefined(format!("'{} object' has no attribute '{name}'", value.type_name()))
}

/// An attribute of the Python object. Names with an underscore are unsafe, and undefined in the reference's sandbox.
fn python_attribute(value: &Value, name: &Arc<str>) -> Result<Option<Value>> {
    if name.starts_with('_') {
        return Ok(None);
    }
    if let Value::Tuple(items) = value
        && items.is_group
        && let Some(index) = ["grouper", "list"].iter().position(|field| **field == **name)
    {
        return Ok(Some(items.items[index].clone()));
    }
    match methods::find(value, name) {
        methods::Found::Method => Value::method(value.clone(), name.clone()).map(Some),
        methods::Found::Unsupported => {
            Err(Error::unsupported(format_args!("the attribute `{name}` of a {}", value.type_name())))
        }
        methods::Found::Mutating => {
            let reason = format!("the method `{name}` changes a {}, which a template may not do", value.type_name());
            Ok(Some(Value::undefined(reason)))
        }
        methods::Found::Nothing => Ok(None),
    }
}
