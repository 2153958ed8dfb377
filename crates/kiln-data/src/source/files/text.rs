//! Text files: a file is one document, delivered in parts of up to 1 MiB.
//!
//! At most one part is in memory. Parts end at line ends where possible. The text must be UTF-8.

use super::reader::FileReader;
use crate::{
    DataError,
    source::{Document, MAX_PART_BYTES, split_text::find_split_point},
};

/// Iterator over the parts of a text file.
pub(crate) struct TextFile {
    reader: FileReader,
    /// Bytes that were read but not returned yet: at most one part.
    buffer: Vec<u8>,
    /// Bytes of the parts that were returned, for error offsets.
    consumed_bytes: u64,
    /// Whether a part was returned before.
    is_continuation: bool,
    at_end: bool,
}

impl TextFile {
    /// Reads the text of `reader`.
    pub fn new(reader: FileReader) -> Self {
        let consumed_bytes = reader.text_offset();
        Self { reader, buffer: Vec::new(), consumed_bytes, is_continuation: false, at_end: false }
    }

    /// Next part; `None` at the end of the file.
    fn next_part(&mut self) -> Result<Option<Document>, DataError> {
        if !self.at_end {
            let limit = MAX_PART_BYTES - self.buffer.len();
            self.at_end = self.reader.read_into(&mut self.buffer, limit)? < limit;
        }
        let end = if self.at_end { self.valid_text()?.len() } else { find_split_point(self.valid_text()?) };
        if end == 0 {
            return Ok(None);
        }
        let text = self.valid_text()?[..end].to_string();
        self.buffer.drain(..end);
        let is_continuation = std::mem::replace(&mut self.is_continuation, true);
        self.consumed_bytes += end as u64;
        Ok(Some(Document { text, origin: self.reader.path().into(), is_continuation }))
    }

    /// Text in the buffer, without a character that is incomplete because the rest of the file was not read yet.
    fn valid_text(&self) -> Result<&str, DataError> {
        let error = match std::str::from_utf8(&self.buffer) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let valid = &self.buffer[..error.valid_up_to()];
        // `error_len` is `None` if the buffer ends within a character.
        if error.error_len().is_none() && !self.at_end {
            return Ok(std::str::from_utf8(valid).unwrap_or_default());
        }
        Err(DataError::InvalidUtf8 {
            path: self.reader.path().into(),
            line: 0,
            offset: self.consumed_bytes + valid.len() as u64,
        })
    }
}

impl Iterator for TextFile {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.next_part();
        if part.is_err() {
            // The file is one row: after invalid UTF-8, nothing of it is left to read.
            self.buffer.clear();
            self.at_end = true;
        }
        part.transpose()
    }
}
