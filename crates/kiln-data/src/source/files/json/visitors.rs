//! Partial parsing of JSON rows with serde: one field, the keys, or the syntax only.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads the value of `field` in a JSON object, or `None` without it. A row that is a string is the text.
pub(super) fn parse_row(json: &str, field: &str) -> serde_json::Result<Option<FieldValue>> {
    parse_seed(json, RowSeed { field })
}

/// Checks the syntax of a JSON text. Strings may have lone surrogates, and nesting has no limit.
pub(super) fn parse_syntax(json: &str) -> serde_json::Result<()> {
    let mut parser = serde_json::Deserializer::from_str(json);
    IgnoredAny::deserialize(&mut parser)?;
    parser.end()
}

/// Reads the keys of a JSON object.
pub(super) fn parse_keys(json: &str) -> serde_json::Result<Vec<String>> {
    parse_seed(json, KeysSeed)
}

/// Parses a whole JSON text.
fn parse_seed<'a, S: DeserializeSeed<'a>>(json: &'a str, seed: S) -> serde_json::Result<S::Value> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Value of the text field.
pub(super) enum FieldValue {
    /// A string.
    Text(String),
    /// Another type, with an article.
    Other(&'static str),
}

/// Visitor of a row.
struct RowSeed<'a> {
    field: &'a str,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Option<FieldValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Option<FieldValue>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(FieldValue::Text(text.into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_text_field) = map.next_key_seed(KeySeed { field: self.field })? {
            if is_text_field {
                found = Some(map.next_value_seed(ValueSeed)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a key with the name of the text field. Keys are read as bytes, because they may have lone surrogates.
struct KeySeed<'a> {
    field: &'a str,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<bool, E> {
        Ok(key == self.field.as_bytes())
    }
}

/// Reads the value of the text field.
struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = FieldValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FieldValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = FieldValue;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FieldValue, E> {
        Ok(FieldValue::Text(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<FieldValue, E> {
        Ok(FieldValue::Other("null"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<FieldValue, E> {
        Ok(FieldValue::Other("true or false"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<FieldValue, E> {
        Ok(FieldValue::Other("a number"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<FieldValue, E> {
        Ok(FieldValue::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<FieldValue, E> {
        Ok(FieldValue::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FieldValue, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FieldValue::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(FieldValue::Other("an object"))
    }
}

/// Visitor of the keys of an object.
struct KeysSeed;

impl<'de> DeserializeSeed<'de> for KeysSeed {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KeysSeed {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key_seed(KeyNameSeed)? {
            keys.push(key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }
}

/// Reads a key as text, with replacement characters for lone surrogates.
struct KeyNameSeed;

impl<'de> DeserializeSeed<'de> for KeyNameSeed {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeyNameSeed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(key).into_owned())
    }
}
