//! Metadata: values by key, and typed access to them.

use super::{
    Array, Value,
    cursor::{Cursor, GgufError},
};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// Metadata of a GGUF file: values by key, such as `general.architecture` and `llama.block_count`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    /// Reads `count` keys with their values.
    pub(super) fn read(cursor: &mut Cursor, count: usize) -> Result<Self, GgufError> {
        let mut values = BTreeMap::new();
        for index in 0..count {
            cursor.context = format!("key {index} of {count} of the metadata");
            let key = cursor.string()?;
            cursor.context = format!("metadata `{key}`");
            let value = Value::read(cursor)?;
            if values.insert(key, value).is_some() {
                return Err(cursor.error("duplicate key"));
            }
        }
        Ok(Self(values))
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        self.0.insert(key.into(), value);
    }

    /// Returns the value of a key, converted by `convert`; `None` if the key is absent.
    ///
    /// # Errors
    /// If `convert` returns `None`. `expected` names the expected type in the error, whose path is the key.
    pub fn get<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ValidationError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(ValidationError::new(key, format!("expected {expected}, found {}", value.describe()))),
        }
    }

    /// Returns the string under a key; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value is not a string.
    pub fn string(&self, key: &str) -> Result<Option<&str>, ValidationError> {
        self.get(key, "a string", Value::as_str)
    }

    /// Returns the non-negative integer under a key, of any integer type; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value is not such an integer.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.get(key, "a non-negative integer", |value| value.as_integer().and_then(|n| n.try_into().ok()))
    }

    /// Returns the boolean under a key; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value is not a boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ValidationError> {
        self.get(key, "a boolean", |value| if let Value::Bool(yes) = value { Some(*yes) } else { None })
    }
}

impl Value {
    /// The value as a non-negative integer, if it is one of any integer type.
    pub fn as_integer(&self) -> Option<u64> {
        match *self {
            Value::U8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::U64(n) => Some(n),
            Value::I8(n) => n.try_into().ok(),
            Value::I16(n) => n.try_into().ok(),
            Value::I32(n) => n.try_into().ok(),
            Value::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// The value as a number. A 32-bit float becomes the shortest decimal that rounds to it: 1e-5, not 9.9999997e-6, so
    /// that it equals the number in a `config.json`.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::F32(n) => n.to_string().parse().ok(),
            Value::F64(n) => Some(*n),
            other => other.as_integer().map(|n| n as f64),
        }
    }

    /// The value as a string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The value as a list of strings, if it is one.
    pub fn as_strings(&self) -> Option<&[String]> {
        if let Value::Array(Array::String(texts)) = self { Some(texts) } else { None }
    }

    /// Whether the value is 0, false or empty, which switches an option off.
    pub(super) fn is_unset(&self) -> bool {
        match self {
            Value::Bool(yes) => !yes,
            Value::String(text) => text.is_empty(),
            Value::Array(array) => array.is_empty(),
            number => number.as_float() == Some(0.0),
        }
    }

    /// A description for errors. Arrays are described by their length.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Array(array) => format!("an array of {}", array.len()),
            other => format!("{other:?}"),
        }
    }
}
