//! Dictionaries: entries in the order of insertion, with Python's equality of keys (`1`, `1.0` and `true` are one key).

use super::{
    super::error::{Error, Result},
    Extent, Value, equal,
};
use indexmap::{Equivalent, IndexMap};
use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
};

/// A dictionary.
#[derive(Debug)]
pub(in super::super) struct Dict {
    entries: IndexMap<Key, Value>,
    extent: Extent,
}

/// A key: a value that can be hashed.
#[derive(Clone, Debug)]
struct Key(Value);

/// A string that looks up a key.
#[derive(Hash)]
struct TextKey<'a>(u8, &'a str);

impl Equivalent<Key> for TextKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.0.as_text() == Some(self.1)
    }
}

const TEXT: u8 = 0;

impl Dict {
    /// A dictionary of these entries. Later entries replace the values of earlier ones.
    pub(in super::super) fn new(entries: impl IntoIterator<Item = (Value, Value)>) -> Result<Self> {
        let mut map = IndexMap::new();
        for (key, value) in entries {
            check_hashable(&key)?;
            map.insert(Key(key), value);
        }
        let extent = Extent::around(map.iter().flat_map(|(key, value)| [&key.0, value]))?;
        Ok(Self { entries: map, extent })
    }

    /// The value of a key; `None` if it is missing or if the key cannot be one.
    pub(in super::super) fn get(&self, key: &Value) -> Option<&Value> {
        match key {
            Value::Text(text) => self.get_text(text),
            key => check_hashable(key).ok().and_then(|()| self.entries.get(&Key(key.clone()))),
        }
    }

    pub(in super::super) fn get_text(&self, key: &str) -> Option<&Value> {
        self.entries.get(&TextKey(TEXT, key))
    }

    pub(in super::super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Value, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(key, value)| (&key.0, value))
    }

    pub(in super::super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn extent(&self) -> Extent {
        self.extent
    }
}

/// A set of values that can be keys.
#[derive(Default)]
pub(in super::super) struct KeySet(HashSet<Key>);

impl KeySet {
    /// Inserts a value, and returns whether it is new. Fails if the value cannot be a key.
    pub(in super::super) fn insert(&mut self, value: Value) -> Result<bool> {
        check_hashable(&value)?;
        Ok(self.0.insert(Key(value)))
    }
}

/// Fails for a value that cannot be a key.
pub(in super::super) fn check_hashable(value: &Value) -> Result<()> {
    match value {
        Value::List(_) | Value::Dict(_) => Err(Error::new(format!("unhashable type: '{}'", value.type_name()))),
        Value::Tuple(items) => items.items.iter().try_for_each(check_hashable),
        Value::Undefined(_) | Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => Ok(()),
        other => Err(Error::unsupported(format_args!("a {} as a key of a dictionary", other.type_name()))),
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_value(&self.0, state);
    }
}

/// Equal values have equal hashes: a number hashes as its integer if it is one.
fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Text(text) => TextKey(TEXT, text).hash(state),
        Value::Bool(_) | Value::Int(_) => (1u8, value.as_int().unwrap_or_default()).hash(state),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e30 => (1u8, *number as i128).hash(state),
        Value::Float(number) => (2u8, number.to_bits()).hash(state),
        Value::Tuple(items) => items.items.iter().for_each(|item| hash_value(item, state)),
        _ => 3u8.hash(state),
    }
}
