//! A text file as one document, in parts, with never more than a part of it in memory.

use super::reader::FileReader;
use crate::{
    DataError,
    source::{Document, MAX_PART_BYTES, split_text::find_split_point},
};

/// The parts of a text file.
pub(crate) struct TextFile {
    reader: FileReader,
    /// Read, not yet delivered.
    buffer: Vec<u8>,
    consumed_bytes: u64,
    at_end: bool,
}

impl TextFile {
    pub fn new(bytes: FileReader) -> Self {
        Self { reader: bytes, buffer: Vec::new(), consumed_bytes: 0, at_end: false }
    }

    fn next_part(&mut self) -> Result<Option<Document>, DataError> {
        if !self.at_end {
            let missing = MAX_PART_BYTES - self.buffer.len();
            self.at_end = self.reader.read_into(&mut self.buffer, missing)? < missing;
        }
        let end = if self.at_end { self.valid_text()?.len() } else { find_split_point(self.valid_text()?) };
        if end == 0 {
            return Ok(None);
        }
        let text = self.valid_text()?[..end].to_string();
        self.buffer.drain(..end);
        let continues = self.consumed_bytes > 0;
        self.consumed_bytes += end as u64;
        Ok(Some(Document { text, origin: self.reader.path().into(), is_continuation: continues }))
    }

    /// The text in the buffer; before the end of the file, a character may be cut at its end.
    fn valid_text(&self) -> Result<&str, DataError> {
        let error = match std::str::from_utf8(&self.buffer) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let valid = &self.buffer[..error.valid_up_to()];
        if error.error_len().is_none() && !self.at_end {
            return Ok(std::str::from_utf8(valid).unwrap_or_default());
        }
        Err(DataError::InvalidUtf8 {
            path: self.reader.path().into(),
            offset: self.consumed_bytes + valid.len() as u64,
        })
    }
}

impl Iterator for TextFile {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_part().transpose()
    }
}
