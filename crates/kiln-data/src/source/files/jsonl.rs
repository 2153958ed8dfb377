//! JSON Lines files (`.jsonl`): every line is an object, and one of its fields is the text of a document.
//!
//! Empty lines and empty texts are skipped. Line numbers in origins and errors count from 1, empty lines included.

use super::reader::FileReader;
use crate::{
    DataError,
    source::{Document, document_parts},
};
use serde_json::{Map, Value};

/// Maximum length of a line in bytes, because a whole line has to fit into memory.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Bytes per read.
const READ_BLOCK_BYTES: usize = 1 << 18;

/// Iterator over the documents of a `.jsonl` file.
pub(crate) struct JsonlFile {
    reader: FileReader,
    /// Name of the field that holds the text.
    field: String,
    /// Bytes that were read; those before `position` are processed.
    buffer: Vec<u8>,
    position: usize,
    /// Bytes of all lines before the current one, for error offsets.
    consumed_bytes: u64,
    /// Number of the current line, from 1.
    line_number: u64,
    at_end: bool,
    /// Parts of the current line's text that were not returned yet.
    pending: std::vec::IntoIter<Document>,
}

impl JsonlFile {
    /// Reads the documents of `reader` from the given field.
    pub fn new(reader: FileReader, field: &str) -> Self {
        Self {
            reader,
            field: field.into(),
            buffer: Vec::new(),
            position: 0,
            consumed_bytes: 0,
            line_number: 0,
            at_end: false,
            pending: Vec::new().into_iter(),
        }
    }

    /// Next line, including its line end; `None` at the end of the file.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, DataError> {
        let mut searched = self.position;
        let end = loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                break searched + length + 1;
            }
            if self.at_end {
                break self.buffer.len();
            }
            self.buffer.drain(..self.position);
            self.position = 0;
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(DataError::LineTooLong {
                    path: self.reader.path().into(),
                    line: self.line_number + 1,
                    limit: MAX_LINE_BYTES,
                });
            }
            searched = self.buffer.len();
            self.at_end = self.reader.read_into(&mut self.buffer, READ_BLOCK_BYTES)? < READ_BLOCK_BYTES;
        };
        let line = self.buffer[self.position..end].to_vec();
        self.position = end;
        self.line_number += 1;
        Ok((!line.is_empty()).then_some(line))
    }

    /// Text of a line; empty for a blank line.
    fn parse_line(&mut self, line: &[u8]) -> Result<String, DataError> {
        let path = self.reader.path().to_string();
        let line_number = self.line_number;
        let json = std::str::from_utf8(line).map_err(|error| DataError::InvalidUtf8 {
            path: path.clone(),
            offset: self.consumed_bytes + error.valid_up_to() as u64,
        })?;
        self.consumed_bytes += line.len() as u64;
        if json.trim().is_empty() {
            return Ok(String::new());
        }
        let object: Result<Map<String, Value>, _> = serde_json::from_str(json);
        let mut object = object.map_err(|error| DataError::InvalidJsonLine {
            path: path.clone(),
            line: line_number,
            reason: error.to_string(),
        })?;
        let field = self.field.clone();
        match object.remove(&field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => {
                Err(DataError::WrongFieldType { path, line: line_number, field, found: json_type_name(&other) })
            }
            None => {
                let found = object.keys().map(|key| format!("`{key}`")).collect();
                Err(DataError::MissingTextField { path, line: line_number, field, found })
            }
        }
    }

    /// Next document or document part; `None` at the end of the file.
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            if let Some(document) = self.pending.next() {
                return Ok(Some(document));
            }
            let Some(line) = self.next_line()? else { return Ok(None) };
            let text = self.parse_line(&line)?;
            let origin = format!("{}:{}", self.reader.path(), self.line_number);
            self.pending = document_parts(&text, origin).collect::<Vec<_>>().into_iter();
        }
    }
}

/// Type of a JSON value for error messages.
fn json_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Iterator for JsonlFile {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}
