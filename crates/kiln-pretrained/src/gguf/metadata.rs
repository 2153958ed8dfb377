//! Metadata by key, and how keys are read.

use super::{Array, GgufError, Value, cursor::Cursor};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// Values by key: `general.architecture`, `llama.block_count`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    pub(super) fn read(cursor: &mut Cursor, count: usize) -> Result<Self, GgufError> {
        let mut values = BTreeMap::new();
        for index in 0..count {
            cursor.context = format!("key {index} of {count} of the metadata");
            let key = cursor.string()?;
            cursor.context = format!("metadata `{key}`");
            let value = Value::read(cursor)?;
            if values.insert(key, value).is_some() {
                return Err(cursor.error("the key is there twice"));
            }
        }
        Ok(Self(values))
    }

    /// Adds a value.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        self.0.insert(key.into(), value);
    }

    /// What stands under a key, read by `read`.
    ///
    /// # Errors
    /// If it is something else; `what` says what was expected.
    pub fn get<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ValidationError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let wrong = || ValidationError::new(key, format!("{what} was expected, found {}", value.describe()));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// The text under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn string(&self, key: &str) -> Result<Option<&str>, ValidationError> {
        self.get(key, "text", Value::as_str)
    }

    /// The whole number under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.get(key, "a whole number from 0 on", |value| value.as_integer().and_then(|n| n.try_into().ok()))
    }

    /// Yes or no under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ValidationError> {
        self.get(key, "yes or no", |value| if let Value::Bool(yes) = value { Some(*yes) } else { None })
    }
}

impl Value {
    /// A whole number from 0 on.
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

    /// A number. One of 32 bits is taken as the shortest decimal that means it: 1e-5, not 9.9999997e-6.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::F32(n) => n.to_string().parse().ok(),
            Value::F64(n) => Some(*n),
            other => other.as_integer().map(|n| n as f64),
        }
    }

    /// Text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// Texts.
    pub fn as_strings(&self) -> Option<&[String]> {
        if let Value::Array(Array::String(texts)) = self { Some(texts) } else { None }
    }

    /// Whether it is 0, no, or empty: as good as not there.
    pub(super) fn is_unset(&self) -> bool {
        match self {
            Value::Bool(yes) => !yes,
            Value::String(text) => text.is_empty(),
            Value::Array(array) => array.is_empty(),
            number => number.as_float() == Some(0.0),
        }
    }

    /// What it is, for errors: arrays without their values.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Array(array) => format!("an array of {}", array.len()),
            other => format!("{other:?}"),
        }
    }
}
