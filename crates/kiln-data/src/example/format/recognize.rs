//! Recognition of a format by the fields of the first rows.

use super::{ExampleFormat, FORMATS, value::parsed};
use serde_json::{Map, Value};

/// The fields of the first rows of a source, each with the first value that is not null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSample(Map<String, Value>);

/// Result of [`recognize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognized {
    /// The one format with these fields.
    Format(ExampleFormat),
    /// Several formats have these fields.
    Ambiguous(Vec<ExampleFormat>),
    /// No format has these fields.
    Unknown,
}

impl FieldSample {
    /// Adds the fields of a row.
    pub fn add(&mut self, row: &Map<String, Value>) {
        for (name, value) in row {
            match self.0.get_mut(name) {
                Some(known) if known.is_null() => *known = value.clone(),
                Some(_) => {}
                None => drop(self.0.insert(name.clone(), value.clone())),
            }
        }
    }

    /// Names of the fields, in the order of the rows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether rows have all of these fields.
    pub(super) fn has_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.0.contains_key(*name))
    }

    /// Whether a field is a list whose first object has the key.
    pub(super) fn item_has(&self, field: &str, key: &str) -> bool {
        let value = self.0.get(field).map(parsed);
        value.and_then(|value| Some(value.get(0)?.get(key).is_some())).unwrap_or(false)
    }
}

/// The format of rows with these fields. `text_field` is the field that holds plain text.
///
/// A text with a class is `labeled`, and a conversation beside a preference is ambiguous.
pub fn recognize(sample: &FieldSample, text_field: &str) -> Recognized {
    let mut found: Vec<ExampleFormat> =
        FORMATS.iter().filter(|entry| (entry.matches)(sample)).map(|entry| entry.format).collect();
    if sample.has_all(&[text_field]) && !found.contains(&ExampleFormat::Labeled) {
        found.push(ExampleFormat::Text);
    }
    match found[..] {
        [] => Recognized::Unknown,
        [format] => Recognized::Format(format),
        _ => Recognized::Ambiguous(found),
    }
}
