//! Values of the holes of a template, by name.

use serde_json::Value;
use std::collections::BTreeMap;

/// Values of the holes of a template, by name. A hole with a value for each layer is a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::hf) struct Holes(BTreeMap<String, Value>);

impl Holes {
    /// Sets a hole. `None` is `null`: the key is left out.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of a hole; `null` if it has none.
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// Whether the hole has a value, `null` included.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A whole number; 0 if the hole has another value.
    pub fn integer(&self, name: &str) -> usize {
        self.get(name).as_u64().and_then(|number| number.try_into().ok()).unwrap_or(0)
    }

    /// A number; 0 if the hole has another value.
    pub fn float(&self, name: &str) -> f64 {
        self.get(name).as_f64().unwrap_or(0.0)
    }

    /// The values of each layer; empty if the hole is no list.
    pub fn layers(&self, name: &str) -> &[Value] {
        self.get(name).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Appends the value of the next layer.
    pub(super) fn push(&mut self, name: &str, value: Value) {
        let entry = self.0.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = entry {
            values.push(value);
        }
    }
}
