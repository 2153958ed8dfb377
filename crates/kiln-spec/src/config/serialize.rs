//! Serialization of a [`choice!`](crate::choice) in its shortest form, and its JSON schema.
use std::io;

use schemars::Schema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::Choice;

/// Options of an alternative without options. Serialized as the bare word.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Serializes an alternative: the bare word `name` if `inner` serializes to an empty table, otherwise `{ name = inner }`.
pub fn serialize_choice<T: Choice, I: Serialize, S: Serializer>(
    choice: &'static str,
    name: &'static str,
    inner: &I,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let index = T::NAMES.iter().take_while(|known| **known != name).count() as u32;
    if is_empty_table(inner) {
        serializer.serialize_unit_variant(choice, index, name)
    } else {
        serializer.serialize_newtype_variant(choice, index, name, inner)
    }
}

/// Whether a value serializes to a table without keys.
fn is_empty_table<I: Serialize>(inner: &I) -> bool {
    let mut writer = BoundedWriter(Vec::new());
    serde_json::to_writer(&mut writer, inner).is_ok() && writer.0 == b"{}"
}

/// Writer that fails after two bytes. It makes the check O(1), so that nested choices do not take quadratic time.
struct BoundedWriter(Vec<u8>);

impl io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > 2 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Schema keyword of an alternative that lists its aliases. Not part of JSON Schema; other readers ignore it.
pub(super) const ALIASES_KEYWORD: &str = "aliases";

/// JSON schema of a choice: `oneOf` the bare words that are allowed and an object with one key for each alternative.
pub fn choice_schema<T: Choice>(
    about: &[&str],
    alternatives: impl IntoIterator<Item = (&'static [&'static str], Schema)>,
) -> Schema {
    let bare_words: Vec<_> = (0..T::NAMES.len()).filter(|&i| T::allows_bare_word(i)).map(|i| T::NAMES[i]).collect();
    let mut forms = Vec::new();
    if !bare_words.is_empty() {
        forms.push(json!({ "type": "string", "enum": bare_words }));
    }
    for (name, (doc, inner)) in T::NAMES.iter().zip(alternatives) {
        let mut form = description_object(doc);
        form.extend(single_key_object(name, inner));
        let aliases: Vec<_> = T::ALIASES.iter().filter(|(_, of)| of == name).map(|(alias, _)| *alias).collect();
        if !aliases.is_empty() {
            form.insert(ALIASES_KEYWORD.into(), aliases.into());
        }
        forms.push(Value::Object(form));
    }
    let mut schema = description_object(about);
    schema.insert("oneOf".into(), forms.into());
    schema.into()
}

/// Schema of `{ name = inner }`.
fn single_key_object(name: &str, inner: Schema) -> Map<String, Value> {
    let properties = Map::from_iter([(name.to_owned(), inner.to_value())]);
    Map::from_iter([
        ("type".into(), "object".into()),
        ("properties".into(), properties.into()),
        ("required".into(), json!([name])),
        ("additionalProperties".into(), false.into()),
    ])
}

/// Schema with the doc comment as its description; empty without a comment.
fn description_object(doc: &[&str]) -> Map<String, Value> {
    let text = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n").trim().to_owned();
    if text.is_empty() { Map::new() } else { Map::from_iter([("description".into(), text.into())]) }
}
