//! A `.jsonl`: each line an object, one field of it a document.

use super::open::Bytes;
use crate::{
    DataError,
    source::{Document, in_parts},
};
use serde_json::{Map, Value};

/// The most bytes of a line: it has to be in memory as a whole.
const LONGEST: usize = 64 << 20;
/// So much is read at once.
const BLOCK: usize = 1 << 18;

/// The documents of a `.jsonl`.
pub(crate) struct Jsonl {
    bytes: Bytes,
    field: String,
    /// Read, not yet delivered: from `at` on.
    buffer: Vec<u8>,
    at: usize,
    delivered: u64,
    line: u64,
    over: bool,
    ready: std::vec::IntoIter<Document>,
}

impl Jsonl {
    pub fn new(bytes: Bytes, field: &str) -> Self {
        let (field, ready) = (field.into(), Vec::new().into_iter());
        Self { bytes, field, buffer: Vec::new(), at: 0, delivered: 0, line: 0, over: false, ready }
    }

    /// The next line with its line end; none at the end of the file.
    fn line(&mut self) -> Result<Option<Vec<u8>>, DataError> {
        let mut searched = self.at;
        let end = loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                break searched + length + 1;
            }
            if self.over {
                break self.buffer.len();
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            if self.buffer.len() > LONGEST {
                return Err(DataError::LongLine {
                    path: self.bytes.path().into(),
                    line: self.line + 1,
                    limit: LONGEST,
                });
            }
            searched = self.buffer.len();
            self.over = self.bytes.fill(&mut self.buffer, BLOCK)? < BLOCK;
        };
        let line = self.buffer[self.at..end].to_vec();
        self.at = end;
        self.line += 1;
        Ok((!line.is_empty()).then_some(line))
    }

    fn text(&mut self, line: &[u8]) -> Result<String, DataError> {
        let (path, line_number) = (self.bytes.path().to_string(), self.line);
        let offset = |error: std::str::Utf8Error| self.delivered + error.valid_up_to() as u64;
        let json =
            std::str::from_utf8(line).map_err(|e| DataError::NotText { path: path.clone(), offset: offset(e) })?;
        self.delivered += line.len() as u64;
        if json.trim().is_empty() {
            return Ok(String::new());
        }
        let object: Result<Map<String, Value>, _> = serde_json::from_str(json);
        let mut object =
            object.map_err(|e| DataError::JsonLine { path: path.clone(), line: line_number, what: e.to_string() })?;
        let field = self.field.clone();
        match object.remove(&field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(DataError::JsonType { path, line: line_number, field, found: kind(&other) }),
            None => {
                let found = object.keys().map(|key| format!("`{key}`")).collect();
                Err(DataError::JsonField { path, line: line_number, field, found })
            }
        }
    }

    fn read(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            if let Some(document) = self.ready.next() {
                return Ok(Some(document));
            }
            let Some(line) = self.line()? else { return Ok(None) };
            let text = self.text(&line)?;
            let origin = format!("{}:{}", self.bytes.path(), self.line);
            self.ready = in_parts(&text, origin).collect::<Vec<_>>().into_iter();
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Iterator for Jsonl {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
