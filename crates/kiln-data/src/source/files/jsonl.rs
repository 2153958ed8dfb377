//! A `.jsonl`: each line an object, one field of it a document.

use super::reader::FileReader;
use crate::{
    DataError,
    source::{Document, document_parts},
};
use serde_json::{Map, Value};

/// The most bytes of a line: it has to be in memory as a whole.
const MAX_LINE_BYTES: usize = 64 << 20;
/// So much is read at once.
const READ_BLOCK_BYTES: usize = 1 << 18;

/// The documents of a `.jsonl`.
pub(crate) struct JsonlFile {
    reader: FileReader,
    field: String,
    /// Read, not yet delivered: from `at` on.
    buffer: Vec<u8>,
    position: usize,
    consumed_bytes: u64,
    line_number: u64,
    at_end: bool,
    pending: std::vec::IntoIter<Document>,
}

impl JsonlFile {
    pub fn new(bytes: FileReader, field: &str) -> Self {
        let (field, ready) = (field.into(), Vec::new().into_iter());
        Self {
            reader: bytes,
            field,
            buffer: Vec::new(),
            position: 0,
            consumed_bytes: 0,
            line_number: 0,
            at_end: false,
            pending: ready,
        }
    }

    /// The next line with its line end; none at the end of the file.
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

    fn parse_line(&mut self, line: &[u8]) -> Result<String, DataError> {
        let (path, line_number) = (self.reader.path().to_string(), self.line_number);
        let offset = |error: std::str::Utf8Error| self.consumed_bytes + error.valid_up_to() as u64;
        let json =
            std::str::from_utf8(line).map_err(|e| DataError::InvalidUtf8 { path: path.clone(), offset: offset(e) })?;
        self.consumed_bytes += line.len() as u64;
        if json.trim().is_empty() {
            return Ok(String::new());
        }
        let object: Result<Map<String, Value>, _> = serde_json::from_str(json);
        let mut object = object.map_err(|e| DataError::InvalidJsonLine {
            path: path.clone(),
            line: line_number,
            reason: e.to_string(),
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
