//! Metadata by key, and how keys are read.

use super::{GgufError, Value, cursor::Cursor};
use kiln_spec::Refusal;
use std::collections::BTreeMap;

/// Values by key: `general.architecture`, `llama.block_count`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    pub(super) fn read(cursor: &mut Cursor, count: usize) -> Result<Self, GgufError> {
        let mut values = BTreeMap::new();
        for index in 0..count {
            cursor.what = format!("key {index} of {count} of the metadata");
            let key = cursor.string()?;
            cursor.what = format!("metadata `{key}`");
            let value = Value::read(cursor)?;
            if values.insert(key, value).is_some() {
                return Err(cursor.broken("the key is there twice"));
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
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let wrong = || Refusal::new(key, format!("{what} was expected, found {}", value.told()));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// The text under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Refusal> {
        self.get(key, "text", Value::text)
    }

    /// The whole number under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn whole(&self, key: &str) -> Result<Option<usize>, Refusal> {
        self.get(key, "a whole number from 0 on", |value| value.whole().and_then(|n| n.try_into().ok()))
    }

    /// Yes or no under a key, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        self.get(key, "yes or no", |value| if let Value::Bool(yes) = value { Some(*yes) } else { None })
    }
}
