//! Shape of a JSON file, recognized by its start.

use super::{
    JsonArray, JsonLines,
    nesting::Nesting,
    row::{FieldsParser, RowParser},
};
use crate::{
    DataError,
    source::files::{
        open::START_BYTES,
        reader::FileReader,
        rows::{Fields, ParseRow, Rows},
    },
};

/// Arrangement of the rows in a JSON file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::files) enum JsonShape {
    /// One row per line.
    Lines,
    /// Objects that extend over several lines, as pretty-printers write them.
    MultilineObjects,
    /// One list.
    Array,
}

/// Number of rows that are checked to tell a file with rows from other JSON and from text.
const CHECKED_ROWS: usize = 8;

impl JsonShape {
    /// Rows of `reader` with the text in `field`.
    pub fn rows(self, reader: FileReader, field: &str) -> Rows {
        let parser = RowParser::new(reader.path(), field, self.counts_lines());
        self.parsed_rows(reader, parser)
    }

    /// Rows of `reader` with all of their fields.
    pub fn field_rows(self, reader: FileReader) -> Rows<Fields> {
        let parser = FieldsParser::new(reader.path(), self.counts_lines());
        self.parsed_rows(reader, parser)
    }

    /// Whether rows are numbered by their lines.
    fn counts_lines(self) -> bool {
        self != Self::Array
    }

    /// Rows of `reader`, as `parser` reads them.
    fn parsed_rows<P: ParseRow + Send + 'static>(self, reader: FileReader, parser: P) -> Rows<P::Value> {
        match self {
            Self::Lines => Box::new(JsonLines::new(reader, parser, false)),
            Self::MultilineObjects => Box::new(JsonLines::new(reader, parser, true)),
            Self::Array => Box::new(JsonArray::new(reader, parser)),
        }
    }
}

/// The shape of a file that begins with `start`. `None` if it does not begin like a row of JSON or a list.
pub(in crate::source::files) fn json_shape(start: &[u8]) -> Option<JsonShape> {
    let json = start.trim_ascii_start();
    match json.first()? {
        b'[' => Some(JsonShape::Array),
        b'{' | b'"' => Some(if is_multiline(json) { JsonShape::MultilineObjects } else { JsonShape::Lines }),
        _ => None,
    }
}

/// Whether the first object continues on the next line. A next line that begins with a brace is another object, so that the
/// first line is damaged.
fn is_multiline(json: &[u8]) -> bool {
    let mut lines = json.split(|byte| *byte == b'\n');
    let mut nesting = Nesting::default();
    nesting.advance_all(lines.next().unwrap_or_default());
    nesting.advance(b'\n');
    let next_line = lines.find(|line| !line.trim_ascii().is_empty());
    nesting.depth > 0 && next_line.is_some_and(|line| !line.starts_with(b"{"))
}

/// Whether the first rows of a file that begins with `start` are JSON rows with the text field. `is_strict`: each of the
/// first rows must be valid JSON.
pub(in crate::source::files) fn has_rows(shape: JsonShape, start: &[u8], field: &str, is_strict: bool) -> bool {
    let mut has_field = false;
    let mut num_rows = 0;
    for row in shape.rows(FileReader::from_bytes("", complete_lines(shape, start).to_vec()), field).take(CHECKED_ROWS) {
        num_rows += 1;
        match row {
            Ok(_) | Err(DataError::WrongFieldType { .. } | DataError::LoneSurrogate { .. }) => has_field = true,
            Err(DataError::MissingTextField { .. } | DataError::Conversations { .. }) => {}
            // The last element of a list that was not read to its end.
            Err(_) if shape == JsonShape::Array && num_rows > 1 => {}
            Err(_) if is_strict => return false,
            Err(_) => {}
        }
    }
    // A first row that is longer than `start` cannot be parsed.
    has_field || (!is_strict && num_rows <= 1 && start.len() >= START_BYTES && names_field(start, field))
}

/// Whether all of the first rows of a file that begins with `start` are JSON objects.
pub(in crate::source::files) fn has_object_rows(shape: JsonShape, start: &[u8]) -> bool {
    let reader = FileReader::from_bytes("", complete_lines(shape, start).to_vec());
    let rows: Vec<_> = shape.field_rows(reader).take(CHECKED_ROWS).collect();
    // The last element of a list may be cut off.
    let is_cut_off = |i: usize| shape == JsonShape::Array && i > 0 && i + 1 == rows.len();
    !rows.is_empty() && rows.iter().enumerate().all(|(i, row)| row.is_ok() || is_cut_off(i))
}

/// The lines of `start` without the last, which may be incomplete; all of a short file.
fn complete_lines(shape: JsonShape, start: &[u8]) -> &[u8] {
    let last_line_end = start.iter().rposition(|byte| *byte == b'\n');
    match last_line_end {
        Some(end) if shape == JsonShape::Lines && start.len() >= START_BYTES => &start[..=end],
        _ => start,
    }
}

/// Whether a JSON text contains the name of the field in quotes.
fn names_field(json: &[u8], field: &str) -> bool {
    let key = serde_json::to_string(field).unwrap_or_default();
    json.windows(key.len()).any(|bytes| bytes == key.as_bytes())
}
