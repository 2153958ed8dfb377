//! Lines of a file with their numbers and offsets.

use super::reader::FileReader;
use crate::DataError;

/// Maximum length of a row in bytes, because a whole row has to fit into memory.
pub(super) const MAX_ROW_BYTES: usize = 64 << 20;
/// Bytes per read.
pub(super) const READ_BLOCK_BYTES: usize = 1 << 18;

/// Reader of the lines of a file. Lines end with `\n`.
pub(super) struct LineReader {
    reader: FileReader,
    /// Bytes that were read; those before `position` are processed.
    buffer: Vec<u8>,
    position: usize,
    /// Bytes of all lines before the current one, for error offsets.
    consumed_bytes: u64,
    /// Number of the last line, from 1.
    line_number: u64,
    at_end: bool,
}

/// Line of a file.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// The bytes, including the line end.
    pub bytes: &'a [u8],
    /// Number of the line, from 1.
    pub number: u64,
    /// Offset of the first byte in the decompressed file.
    pub offset: u64,
}

impl LineReader {
    /// Lines of `reader`.
    pub fn new(reader: FileReader) -> Self {
        let consumed_bytes = reader.text_offset();
        Self { reader, buffer: Vec::new(), position: 0, consumed_bytes, line_number: 0, at_end: false }
    }

    /// Path of the file.
    pub fn path(&self) -> &str {
        self.reader.path()
    }

    /// Next line; `None` at the end of the file.
    ///
    /// # Errors
    /// [`DataError::LineTooLong`], after which the next line can be read; errors of the reader, after which it cannot.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, DataError> {
        let mut searched = self.position;
        let end = loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                break searched + length + 1;
            }
            if self.at_end {
                break self.buffer.len();
            }
            self.discard_processed();
            if self.buffer.len() > MAX_ROW_BYTES {
                return Err(self.discard_line()?);
            }
            searched = self.buffer.len();
            self.fill()?;
        };
        let start = self.position;
        if start == end {
            return Ok(None);
        }
        let offset = self.consumed_bytes;
        self.position = end;
        self.consumed_bytes += (end - start) as u64;
        self.line_number += 1;
        Ok(Some(Line { bytes: &self.buffer[start..end], number: self.line_number, offset }))
    }

    /// Drops the bytes of the lines that were returned.
    fn discard_processed(&mut self) {
        self.buffer.drain(..self.position);
        self.position = 0;
    }

    /// Reads one more block into the buffer.
    fn fill(&mut self) -> Result<(), DataError> {
        self.at_end = self.reader.read_into(&mut self.buffer, READ_BLOCK_BYTES)? < READ_BLOCK_BYTES;
        Ok(())
    }

    /// Reads to the end of the current line without storing it. Returns the error for a line that is too long.
    fn discard_line(&mut self) -> Result<DataError, DataError> {
        self.line_number += 1;
        loop {
            let line_end = self.buffer.iter().position(|byte| *byte == b'\n');
            self.position = line_end.map_or(self.buffer.len(), |length| length + 1);
            self.consumed_bytes += self.position as u64;
            self.discard_processed();
            if line_end.is_some() || self.at_end {
                let (path, line) = (self.path().into(), self.line_number);
                return Ok(DataError::LineTooLong { path, line, limit: MAX_ROW_BYTES });
            }
            self.fill()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_offsets() {
        let mut lines = LineReader::new(FileReader::from_bytes("a", b"one\n\nthree".to_vec()));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.number, line.offset));
        }
        assert_eq!(found, [("one\n".into(), 1, 0), ("\n".into(), 2, 4), ("three".into(), 3, 5)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_and_the_next_one_is_read() {
        let mut bytes = vec![b'a'; MAX_ROW_BYTES + 2 * READ_BLOCK_BYTES];
        bytes.extend(b"\nshort\n");
        let mut lines = LineReader::new(FileReader::from_bytes("a", bytes));
        assert!(matches!(lines.next_line(), Err(DataError::LineTooLong { line: 1, .. })));
        let line = lines.next_line().unwrap().unwrap();
        assert_eq!((line.bytes, line.number), (&b"short\n"[..], 2));
    }
}
