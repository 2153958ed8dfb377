//! JSON lines: one object per line. Also pretty-printed objects one after the other, each over several lines.
//!
//! Empty lines are skipped. Rows are numbered by their first line, from 1, empty lines included.

use super::nesting::Nesting;
use crate::{
    DataError,
    source::files::{
        lines::{LineReader, MAX_ROW_BYTES},
        reader::FileReader,
        rows::{ParseRow, Row},
    },
};

/// U+FEFF in UTF-8. It begins lines where files with byte order marks were concatenated.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Iterator over the rows of a JSON lines file.
pub(in crate::source::files) struct JsonLines<P> {
    lines: LineReader,
    parser: P,
    /// The object that is being collected, if objects may extend over several lines.
    object: Option<OpenObject>,
}

/// Object of which not all lines were read yet.
#[derive(Default)]
struct OpenObject {
    json: Vec<u8>,
    /// Number and offset of the first line.
    line: u64,
    offset: u64,
    nesting: Nesting,
}

impl<P: ParseRow> JsonLines<P> {
    /// Rows of `reader`, as `parser` reads them. `is_multiline`: an object may extend over several lines.
    pub fn new(reader: FileReader, parser: P, is_multiline: bool) -> Self {
        Self { lines: LineReader::new(reader), parser, object: is_multiline.then(OpenObject::default) }
    }

    /// Next row of a file with one row per line.
    fn next_line_row(&mut self) -> Option<Result<Row<P::Value>, DataError>> {
        loop {
            let line = match self.lines.next_line().transpose()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let json = trim_line(line.bytes);
            if !json.is_empty() {
                let number = line.number;
                return Some(self.parser.parse(json, number, line.offset).map(|value| Row { value, number }));
            }
        }
    }

    /// Next row of a file whose rows extend over several lines. A row ends where its braces are closed, or before a line
    /// that begins with a brace: the braces inside a pretty-printed object are indented.
    fn next_multiline_row(&mut self, mut object: OpenObject) -> Option<Result<Row<P::Value>, DataError>> {
        loop {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) if object.json.trim_ascii().is_empty() => return None,
                Ok(None) => return Some(self.finish(object)),
                Err(error) => return Some(Err(error)),
            };
            let json = line.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line.bytes);
            if object.json.trim_ascii().is_empty() {
                object = OpenObject { line: line.number, offset: line.offset, ..OpenObject::default() };
            } else if json.starts_with(b"{") {
                let mut next = OpenObject { line: line.number, offset: line.offset, ..OpenObject::default() };
                next.append(json);
                self.object = Some(next);
                return Some(self.finish(object));
            }
            object.append(json);
            if object.json.len() > MAX_ROW_BYTES {
                let (path, line) = (self.lines.path().into(), object.line);
                return Some(Err(DataError::LineTooLong { path, line, limit: MAX_ROW_BYTES }));
            }
            if object.is_complete() {
                return Some(self.finish(object));
            }
        }
    }

    /// Row of an object.
    fn finish(&self, object: OpenObject) -> Result<Row<P::Value>, DataError> {
        let value = self.parser.parse(object.json.trim_ascii(), object.line, object.offset)?;
        Ok(Row { value, number: object.line })
    }
}

impl OpenObject {
    /// Adds a line.
    fn append(&mut self, line: &[u8]) {
        self.nesting.advance_all(line);
        self.json.extend(line);
    }

    /// Whether all braces are closed.
    fn is_complete(&self) -> bool {
        self.nesting.is_outside() && !self.json.trim_ascii().is_empty()
    }
}

/// A line without white space and byte order mark around it.
fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii()
}

impl<P: ParseRow> Iterator for JsonLines<P> {
    type Item = Result<Row<P::Value>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.object.as_mut().map(std::mem::take) {
            None => self.next_line_row(),
            Some(object) if object.is_complete() => Some(self.finish(object)),
            Some(object) => self.next_multiline_row(object),
        }
    }
}
