//! A text file as one document, in parts, with never more than a part of it in memory.

use super::open::Bytes;
use crate::{
    DataError,
    source::{Document, PART, parts::cut},
};

/// The parts of a text file.
pub(crate) struct TextFile {
    bytes: Bytes,
    /// Read, not yet delivered.
    buffer: Vec<u8>,
    delivered: u64,
    over: bool,
}

impl TextFile {
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, buffer: Vec::new(), delivered: 0, over: false }
    }

    fn part(&mut self) -> Result<Option<Document>, DataError> {
        if !self.over {
            let missing = PART - self.buffer.len();
            self.over = self.bytes.fill(&mut self.buffer, missing)? < missing;
        }
        let end = if self.over { self.valid()?.len() } else { cut(self.valid()?) };
        if end == 0 {
            return Ok(None);
        }
        let text = self.valid()?[..end].to_string();
        self.buffer.drain(..end);
        let continues = self.delivered > 0;
        self.delivered += end as u64;
        Ok(Some(Document { text, origin: self.bytes.path().into(), continues }))
    }

    /// The text in the buffer; before the end of the file, a character may be cut at its end.
    fn valid(&self) -> Result<&str, DataError> {
        let error = match std::str::from_utf8(&self.buffer) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let valid = &self.buffer[..error.valid_up_to()];
        if error.error_len().is_none() && !self.over {
            return Ok(std::str::from_utf8(valid).unwrap_or_default());
        }
        Err(DataError::NotText { path: self.bytes.path().into(), offset: self.delivered + valid.len() as u64 })
    }
}

impl Iterator for TextFile {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.part().transpose()
    }
}
