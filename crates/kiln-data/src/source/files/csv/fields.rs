//! Rows of a CSV or TSV file with all of their columns.

use super::{RecordReader, Row, check_num_fields, checked_names, find_delimiter, text_of};
use crate::{
    DataError,
    source::files::{reader::FileReader, rows::Fields},
};

/// Iterator over the rows of a CSV or TSV file. Each value is a string.
pub(in crate::source::files) struct CsvFields {
    records: RecordReader,
    names: Vec<String>,
}

impl CsvFields {
    /// Reads the header of `reader`, of which `start` was read ahead. The delimiter is the first with which the header has
    /// one of the columns `known`. `None` for an empty file.
    ///
    /// # Errors
    /// [`DataError::InvalidCsvRow`] for a header that is not valid.
    pub fn open(
        reader: FileReader,
        start: &[u8],
        is_tsv: bool,
        known: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>, DataError> {
        let path = reader.path().to_string();
        let has_known = |names: &[String]| names.iter().any(|name| known(name.trim()));
        let delimiter = find_delimiter(&path, start, is_tsv, has_known);
        let mut records = RecordReader::new(reader, delimiter);
        let Some(header) = records.next_record()? else { return Ok(None) };
        let names = checked_names(&header, &path)?;
        Ok(Some(Self { records, names: names.iter().map(|name| name.trim().to_owned()).collect() }))
    }

    /// Next row; `None` at the end of the file.
    fn next_row(&mut self) -> Result<Option<Row<Fields>>, DataError> {
        let Some(record) = self.records.next_record()? else { return Ok(None) };
        let (path, line, offset) = (self.records.path(), record.line, record.offset);
        check_num_fields(&record, self.names.len(), path)?;
        let mut value = Fields::new();
        for (name, field) in self.names.iter().zip(record.fields) {
            value.insert(name.clone(), text_of(field, path, line, offset)?.into());
        }
        Ok(Some(Row { value, number: line }))
    }
}

impl Iterator for CsvFields {
    type Item = Result<Row<Fields>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}
