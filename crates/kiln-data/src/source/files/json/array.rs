//! JSON lists of objects or strings, read element by element. Rows are numbered by their position in the list, from 1.

use super::nesting::Nesting;
use crate::{
    DataError,
    source::files::{
        lines::{MAX_ROW_BYTES, READ_BLOCK_BYTES},
        reader::FileReader,
        rows::{ParseRow, Row},
    },
};

/// Iterator over the rows of a file with a JSON list.
pub(in crate::source::files) struct JsonArray<P> {
    reader: FileReader,
    parser: P,
    /// Bytes that were read; those before `position` are processed.
    buffer: Vec<u8>,
    position: usize,
    /// Offset of the buffer in the decompressed file.
    buffer_offset: u64,
    /// Number of the last row, from 1.
    row_number: u64,
    state: State,
    is_file_read: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the opening bracket.
    Start,
    /// Before an element.
    Inside,
    /// After the closing bracket.
    Closed,
    /// At the end of a file without a closing bracket.
    Unclosed,
    /// Nothing is left to read.
    End,
}

/// The bytes between two commas or brackets of the list.
struct Element {
    json: Vec<u8>,
    /// Offset of the first byte in the decompressed file.
    offset: u64,
    /// The byte that ended the element: a comma or the closing bracket; `None` at the end of the file.
    end: Option<u8>,
    is_too_long: bool,
}

impl<P: ParseRow> JsonArray<P> {
    /// Rows of `reader`, as `parser` reads them.
    pub fn new(reader: FileReader, parser: P) -> Self {
        let buffer_offset = reader.text_offset();
        Self {
            reader,
            parser,
            buffer: Vec::new(),
            position: 0,
            buffer_offset,
            row_number: 0,
            state: State::Start,
            is_file_read: false,
        }
    }

    /// The next byte; `None` at the end of the file.
    fn next_byte(&mut self) -> Result<Option<u8>, DataError> {
        while self.position == self.buffer.len() && !self.is_file_read {
            self.buffer_offset += self.buffer.len() as u64;
            self.buffer.clear();
            self.position = 0;
            self.is_file_read = self.reader.read_into(&mut self.buffer, READ_BLOCK_BYTES)? < READ_BLOCK_BYTES;
        }
        let byte = self.buffer.get(self.position).copied();
        self.position += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Reads up to the next comma or closing bracket of the list itself.
    fn next_element(&mut self) -> Result<Element, DataError> {
        let offset = self.buffer_offset + self.position as u64;
        let mut element = Element { json: Vec::new(), offset, end: None, is_too_long: false };
        let mut nesting = Nesting::default();
        while let Some(byte) = self.next_byte()? {
            if nesting.is_outside() && matches!(byte, b',' | b']') {
                element.end = Some(byte);
                break;
            }
            nesting.advance(byte);
            element.json.push(byte);
            if element.json.len() > MAX_ROW_BYTES {
                element.json.clear();
                element.is_too_long = true;
            }
        }
        Ok(element)
    }

    /// Next row; `None` at the end of the list.
    fn next_row(&mut self) -> Result<Option<Row<P::Value>>, DataError> {
        if self.state == State::Start {
            // The format was recognized by the bracket, so that only white space precedes it.
            while self.next_byte()?.is_some_and(|byte| byte != b'[') {}
            self.state = State::Inside;
        }
        match self.state {
            State::Start | State::Inside => self.next_element_row(),
            State::Closed => self.check_rest().map(|()| None),
            State::Unclosed => {
                self.state = State::End;
                Err(self.invalid_row("the list is not closed: found the end of the file"))
            }
            State::End => Ok(None),
        }
    }

    /// Row of the next element; `None` for an empty list.
    fn next_element_row(&mut self) -> Result<Option<Row<P::Value>>, DataError> {
        let element = self.next_element()?;
        self.row_number += 1;
        self.state = match element.end {
            Some(b',') => State::Inside,
            Some(_) => State::Closed,
            None => State::Unclosed,
        };
        if element.is_too_long {
            let path = self.reader.path().into();
            return Err(DataError::LineTooLong { path, line: self.row_number, limit: MAX_ROW_BYTES });
        }
        if element.json.trim_ascii().is_empty() {
            return match (self.state, self.row_number) {
                (State::Closed, 1) => self.check_rest().map(|()| None),
                (State::Unclosed, _) => self.next_row(),
                _ => Err(self.invalid_row("found nothing between two commas")),
            };
        }
        let parsed = self.parser.parse(element.json.trim_ascii_end(), self.row_number, element.offset);
        if parsed.is_err() && self.state == State::Unclosed {
            // The row is cut off, which is the same error as the missing bracket.
            self.state = State::End;
        }
        parsed.map(|value| Some(Row { value, number: self.row_number }))
    }

    /// Checks that only white space follows the list.
    fn check_rest(&mut self) -> Result<(), DataError> {
        self.state = State::End;
        while let Some(byte) = self.next_byte()? {
            if !byte.is_ascii_whitespace() {
                self.row_number += 1;
                return Err(self.invalid_row("found text after the end of the list"));
            }
        }
        Ok(())
    }

    /// Error for the current row.
    fn invalid_row(&self, reason: &str) -> DataError {
        let path = self.reader.path().into();
        DataError::InvalidJsonLine { path, line: self.row_number, reason: reason.into() }
    }
}

impl<P: ParseRow> Iterator for JsonArray<P> {
    type Item = Result<Row<P::Value>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}
