//! Records of CSV files, as RFC 4180 describes them.
//!
//! Fields with delimiters, line ends or quotes are in double quotes, with the quotes inside doubled. Unlike the crate `csv`,
//! this reader refuses text after a closing quote and quotes that are never closed: those would join rows silently. Between
//! tabs, such quotes are text.

use crate::{
    DataError,
    source::files::{
        lines::{MAX_ROW_BYTES, READ_BLOCK_BYTES},
        reader::FileReader,
    },
};

/// Record of a CSV file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The values, without their quotes.
    pub fields: Vec<Vec<u8>>,
    /// Number of the first line, from 1.
    pub line: u64,
    /// Offset of the first byte in the decompressed file.
    pub offset: u64,
}

/// Reader of records. Empty lines are skipped.
pub(super) struct RecordReader {
    reader: FileReader,
    delimiter: u8,
    /// Bytes that were read; those before `position` are processed.
    buffer: Vec<u8>,
    position: usize,
    /// Offset of the buffer in the decompressed file.
    buffer_offset: u64,
    /// Number of the line at `position`, from 1.
    line: u64,
    at_end: bool,
}

/// State of the parser before the next byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted field: it closes the field, or is the first of two.
    AfterQuote,
}

/// Result of parsing a record.
enum Parsed {
    /// A record that ends before this index of the buffer. The index is that of its start at the end of the file.
    Record { end: usize },
    /// A record that is not valid CSV.
    Malformed { reason: &'static str },
    /// A record above the size limit.
    TooLong,
}

impl RecordReader {
    /// Records of `reader`, with `delimiter` between the fields.
    pub fn new(reader: FileReader, delimiter: u8) -> Self {
        let buffer_offset = reader.text_offset();
        Self { reader, delimiter, buffer: Vec::new(), position: 0, buffer_offset, line: 1, at_end: false }
    }

    /// Path of the file.
    pub fn path(&self) -> &str {
        self.reader.path()
    }

    /// Next record; `None` at the end of the file.
    ///
    /// # Errors
    /// [`DataError::InvalidCsvRow`] and [`DataError::LineTooLong`], after which the next line is read; errors of the reader.
    pub fn next_record(&mut self) -> Result<Option<Record>, DataError> {
        loop {
            let (line, offset) = (self.line, self.buffer_offset + self.position as u64);
            let mut fields = Vec::new();
            let error = match self.parse_record(&mut fields)? {
                Parsed::Record { end } if end == self.position => return Ok(None),
                Parsed::Record { end } => {
                    self.finish_record(end);
                    // An empty line is a record with one empty field.
                    if fields.len() != 1 || !fields[0].is_empty() {
                        return Ok(Some(Record { fields, line, offset }));
                    }
                    continue;
                }
                Parsed::Malformed { reason } => {
                    DataError::InvalidCsvRow { path: self.path().into(), line, reason: reason.into() }
                }
                Parsed::TooLong => DataError::LineTooLong { path: self.path().into(), line, limit: MAX_ROW_BYTES },
            };
            self.skip_line()?;
            return Err(error);
        }
    }

    /// Parses the record at `position` into `fields`.
    ///
    /// The start of a field is relative to `position`, which moves when more is read. A carriage return after a closing quote
    /// belongs to the line end.
    fn parse_record(&mut self, fields: &mut Vec<Vec<u8>>) -> Result<Parsed, DataError> {
        let (mut index, mut field_start) = (self.position, 0);
        let (mut state, mut field) = (State::FieldStart, Vec::new());
        loop {
            let byte = self.byte_at(&mut index)?;
            if self.is_literal_quote(state, byte, index - self.position) {
                (index, state) = (self.position + field_start, State::Unquoted);
                field.clear();
                continue;
            }
            let Some(byte) = byte else { break };
            index += 1;
            if index - self.position > MAX_ROW_BYTES {
                return Ok(Parsed::TooLong);
            }
            match (state, byte) {
                (State::FieldStart, b'"') => state = State::Quoted,
                (State::Quoted, b'"') => state = State::AfterQuote,
                (State::AfterQuote, b'"') => {
                    field.push(b'"');
                    state = State::Quoted;
                }
                (State::Quoted, _) => field.push(byte),
                (_, b'\n') => {
                    let _ = field.pop_if(|last| state == State::Unquoted && *last == b'\r');
                    fields.push(field);
                    return Ok(Parsed::Record { end: index });
                }
                (_, byte) if byte == self.delimiter => {
                    fields.push(std::mem::take(&mut field));
                    field_start = index - self.position;
                    state = State::FieldStart;
                }
                (State::AfterQuote, b'\r') => {}
                (State::AfterQuote, _) => return Ok(Parsed::Malformed { reason: "text follows a closing quote" }),
                (State::FieldStart | State::Unquoted, _) => {
                    field.push(byte);
                    state = State::Unquoted;
                }
            }
        }
        if state == State::Quoted {
            return Ok(Parsed::Malformed { reason: "a quoted field is never closed" });
        }
        fields.push(field);
        Ok(Parsed::Record { end: index })
    }

    /// Whether `byte` shows that the quote at the start of a field is text, because the field is no valid quoted field.
    /// Many TSV files have no quoted fields, because text with tabs and line ends is not allowed in them.
    fn is_literal_quote(&self, state: State, byte: Option<u8>, record_bytes: usize) -> bool {
        let is_malformed = match (state, byte) {
            (State::AfterQuote, Some(byte)) => byte != self.delimiter && !b"\"\r\n".contains(&byte),
            (State::Quoted, Some(_)) => record_bytes >= MAX_ROW_BYTES,
            (State::Quoted, None) => true,
            _ => false,
        };
        is_malformed && self.delimiter == b'\t'
    }

    /// The byte at `index` of the buffer; `None` at the end of the file. When more is read, the processed bytes are dropped,
    /// and the index moves.
    fn byte_at(&mut self, index: &mut usize) -> Result<Option<u8>, DataError> {
        if *index == self.buffer.len() && !self.at_end {
            self.buffer.drain(..self.position);
            self.buffer_offset += self.position as u64;
            *index -= self.position;
            self.position = 0;
            self.at_end = self.reader.read_into(&mut self.buffer, READ_BLOCK_BYTES)? < READ_BLOCK_BYTES;
        }
        Ok(self.buffer.get(*index).copied())
    }

    /// Advances to `end`, the index after a record.
    fn finish_record(&mut self, end: usize) {
        let record = &self.buffer[self.position..end];
        self.line += record.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.position = end;
    }

    /// Advances to the next line: after an error, a record may begin there.
    fn skip_line(&mut self) -> Result<(), DataError> {
        let mut index = self.position;
        while let Some(byte) = self.byte_at(&mut index)? {
            index += 1;
            // The line is not needed: memory stays bounded.
            self.position = index;
            if byte == b'\n' {
                break;
            }
        }
        self.line += 1;
        Ok(())
    }
}
