//! JSON → values.

use super::{super::error::Result, Dict, Value};
use serde_json::Value as Json;
use std::rc::Rc;

/// A JSON value as Python's `json.loads` reads it. Fails if it is nested too deep.
pub(in super::super) fn from_json(json: &Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i128() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect::<Result<_>>()?)?,
        Json::Object(fields) => {
            let entries = fields.iter().map(|(name, value)| Ok((Value::text(name), from_json(value)?)));
            Value::Dict(Rc::new(Dict::new(entries.collect::<Result<Vec<_>>>()?)?))
        }
    })
}
