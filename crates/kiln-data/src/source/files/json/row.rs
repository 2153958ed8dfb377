//! Row of a JSON file: its text field, or all of its fields. Without [`FieldsParser`], other fields than that of the text are
//! checked for syntax only.
//!
//! As in Python, NaN and infinities are accepted outside of the text field, and the last of several equal keys wins.

use super::visitors::{FieldValue, parse_keys, parse_row, parse_syntax};
use crate::{
    DataError,
    non_finite::{padded_zero, replace_non_finite},
    source::files::rows::{Fields, ParseRow},
};

/// Fields that hold conversations in the data sets of the field.
const CONVERSATION_FIELDS: [&str; 3] = ["messages", "conversations", "prompt"];

/// Parser of the rows of one file.
pub(super) struct RowParser {
    path: String,
    /// Name of the field that holds the text.
    field: String,
    /// Whether rows are numbered by their lines, so that errors may name a later line of a row.
    counts_lines: bool,
}

/// Parser of rows with all of their fields.
pub(super) struct FieldsParser {
    path: String,
    /// As in [`RowParser`].
    counts_lines: bool,
}

impl RowParser {
    /// Parser for rows of the file `path` with the text in `field`.
    pub fn new(path: &str, field: &str, counts_lines: bool) -> Self {
        Self { path: path.into(), field: field.into(), counts_lines }
    }
}

impl ParseRow for RowParser {
    type Value = String;

    fn parse(&self, json: &[u8], number: u64, offset: u64) -> Result<String, DataError> {
        let (path, field) = (self.path.clone(), self.field.clone());
        let json = utf8(json, &path, number, offset)?;
        let first = parse_row(json, &field);
        let finite = if first.is_err() { replace_non_finite(json, padded_zero) } else { None };
        let value = finite.as_deref().map_or(first, |finite| parse_row(finite, &field));
        let json = finite.as_deref().unwrap_or(json);
        match value.map_err(|error| self.error(json, number, &error))? {
            Some(FieldValue::Text(text)) => Ok(text),
            Some(FieldValue::Other(found)) => Err(DataError::WrongFieldType { path, line: number, field, found }),
            None => Err(missing_field_error(path, number, field, parse_keys(json).unwrap_or_default())),
        }
    }
}

impl RowParser {
    /// Error for a row that is no JSON object, or whose text is not valid.
    fn error(&self, json: &str, number: u64, error: &serde_json::Error) -> DataError {
        if is_surrogate_error(error) && parse_syntax(json).is_ok() {
            return DataError::LoneSurrogate { path: self.path.clone(), line: number, field: self.field.clone() };
        }
        json_error(&self.path, self.counts_lines, number, error)
    }
}

impl FieldsParser {
    /// Parser for rows of the file `path`.
    pub fn new(path: &str, counts_lines: bool) -> Self {
        Self { path: path.into(), counts_lines }
    }
}

impl ParseRow for FieldsParser {
    type Value = Fields;

    fn parse(&self, json: &[u8], number: u64, offset: u64) -> Result<Fields, DataError> {
        let json = utf8(json, &self.path, number, offset)?;
        let first = serde_json::from_str(json);
        let finite = if first.is_err() { replace_non_finite(json, padded_zero) } else { None };
        let fields = finite.map_or(first, |finite| serde_json::from_str(&finite));
        fields.map_err(|error| json_error(&self.path, self.counts_lines, number, &error))
    }
}

/// The JSON of a row as text.
fn utf8<'a>(json: &'a [u8], path: &str, line: u64, offset: u64) -> Result<&'a str, DataError> {
    std::str::from_utf8(json).map_err(|error| {
        let offset = offset + error.valid_up_to() as u64;
        DataError::InvalidUtf8 { path: path.into(), line, offset }
    })
}

/// Whether a string has half of a surrogate pair.
fn is_surrogate_error(error: &serde_json::Error) -> bool {
    let message = error.to_string();
    message.contains("surrogate") || message.contains("hex escape")
}

/// Error for a row that is no JSON object.
fn json_error(path: &str, counts_lines: bool, number: u64, error: &serde_json::Error) -> DataError {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let later_lines = if counts_lines { error.line().saturating_sub(1) as u64 } else { 0 };
    let reason = format!("{message} at column {}", error.column());
    DataError::InvalidJsonLine { path: path.into(), line: number + later_lines, reason }
}

/// Error for a row, or for all rows if `line` is 0, with the fields `found` and without `field`.
pub(in crate::source::files) fn missing_field_error(
    path: String,
    line: u64,
    field: String,
    found: Vec<String>,
) -> DataError {
    match CONVERSATION_FIELDS.into_iter().find(|known| found.iter().any(|name| name == known)) {
        Some(known) => DataError::Conversations { path, line, field, found: known.into() },
        None => {
            let found = found.iter().map(|name| format!("`{name}`")).collect();
            DataError::MissingTextField { path, line, field, found }
        }
    }
}
