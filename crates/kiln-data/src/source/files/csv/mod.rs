//! CSV and TSV files with a header line: every row is a document, its text in one column.
//!
//! Rows are numbered by their first line, from 1; the header is line 1.

mod fields;
mod record;
#[cfg(test)]
mod tests;

use super::{reader::FileReader, rows::Row};
use crate::{DataError, config::DEFAULT_TEXT_FIELD};
pub(super) use fields::CsvFields;
use record::{Record, RecordReader};

/// Delimiters of CSV files. The comma is used if no other one separates the text column in the header.
const CSV_DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Delimiter of TSV files.
const TSV_DELIMITERS: [u8; 1] = [b'\t'];

/// Bytes of a file in which the header is searched for the delimiter.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Iterator over the rows of a CSV or TSV file.
pub(super) struct CsvFile {
    records: RecordReader,
    /// Index of the text column.
    column: usize,
    num_columns: usize,
    field: String,
}

impl CsvFile {
    /// Reads the header of `reader`, of which `start` was read ahead. The text is in the column `field`; without a
    /// column of the default name `text`, in the only column. `None` for an empty file.
    ///
    /// # Errors
    /// [`DataError::MissingTextField`] if there are several columns and none is called `field`.
    pub fn open(reader: FileReader, start: &[u8], is_tsv: bool, field: &str) -> Result<Option<Self>, DataError> {
        let path = reader.path().to_string();
        let delimiter = find_delimiter(&path, start, is_tsv, |names| find_column(names, field).is_some());
        let mut records = RecordReader::new(reader, delimiter);
        let Some(header) = records.next_record()? else { return Ok(None) };
        let names = checked_names(&header, &path)?;
        let Some(column) = find_column(&names, field).or_else(|| only_column(&names, field)) else {
            return Err(super::json::missing_field_error(path, 0, field.into(), names));
        };
        Ok(Some(Self { records, column, num_columns: names.len(), field: names[column].clone() }))
    }

    /// Name of the text column.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Row of a record.
    fn row(&self, mut record: Record) -> Result<Row, DataError> {
        let (path, line) = (self.records.path().to_string(), record.line);
        check_num_fields(&record, self.num_columns, &path)?;
        let text = text_of(record.fields.swap_remove(self.column), &path, line, record.offset)?;
        Ok(Row { value: text, number: line })
    }
}

/// The first delimiter with which the header has the wanted columns, else the first of all.
fn find_delimiter(path: &str, start: &[u8], is_tsv: bool, has_columns: impl Fn(&[String]) -> bool) -> u8 {
    let delimiters: &[u8] = if is_tsv { &TSV_DELIMITERS } else { &CSV_DELIMITERS };
    let start = &start[..start.len().min(MAX_HEADER_BYTES)];
    let has_field = |delimiter: &u8| {
        let mut records = RecordReader::new(FileReader::from_bytes(path, start.to_vec()), *delimiter);
        let header = records.next_record().ok().flatten();
        let names = header.map(|header| column_names(&header));
        names.is_some_and(|names| has_columns(&names))
    };
    delimiters.iter().copied().find(has_field).unwrap_or(delimiters[0])
}

/// Error for a record with another number of fields than the header.
fn check_num_fields(record: &Record, num_columns: usize, path: &str) -> Result<(), DataError> {
    let found = record.fields.len();
    if found == num_columns {
        return Ok(());
    }
    let reason = format!("found {found} fields, expected {num_columns} as in the header");
    Err(DataError::InvalidCsvRow { path: path.into(), line: record.line, reason })
}

/// A field as text. `offset`: that of its record.
fn text_of(field: Vec<u8>, path: &str, line: u64, offset: u64) -> Result<String, DataError> {
    String::from_utf8(field).map_err(|error| {
        let offset = offset + error.utf8_error().valid_up_to() as u64;
        DataError::InvalidUtf8 { path: path.into(), line, offset }
    })
}

/// Names of the columns. Fails for lines that end with a carriage return alone.
fn checked_names(header: &Record, path: &str) -> Result<Vec<String>, DataError> {
    let names = column_names(header);
    if names.iter().any(|name| name.contains('\r')) {
        let reason = "the lines end with a carriage return alone, expected a line feed".into();
        return Err(DataError::InvalidCsvRow { path: path.into(), line: 1, reason });
    }
    Ok(names)
}

/// Names of the columns.
fn column_names(header: &Record) -> Vec<String> {
    header.fields.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Index of the column called `field`. White space around the names is ignored if no name is equal.
fn find_column(names: &[String], field: &str) -> Option<usize> {
    let exact = names.iter().position(|name| name == field);
    exact.or_else(|| names.iter().position(|name| name.trim() == field))
}

/// Index of the only column, in place of the default column. `None` for another field, for several columns, and for a name
/// with another delimiter in it: then there are several columns too.
fn only_column(names: &[String], field: &str) -> Option<usize> {
    let [name] = names else { return None };
    (field == DEFAULT_TEXT_FIELD && !name.bytes().any(|byte| CSV_DELIMITERS.contains(&byte))).then_some(0)
}

impl Iterator for CsvFile {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.records.next_record().transpose()?.and_then(|record| self.row(record)))
    }
}
