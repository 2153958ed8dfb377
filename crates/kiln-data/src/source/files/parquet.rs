//! Parquet files (`.parquet`): every row of a string column is a document.
//!
//! Row groups are read one after the other, 64 rows at a time. A row without a value is a bad row. Nested and repeated
//! columns are not supported.

use super::{checked_pages::CheckedPages, json::missing_field_error, rows::Row};
use crate::{DataError, config::DEFAULT_TEXT_FIELD};
use parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Rows per read.
const READ_ROWS: usize = 64;

/// Iterator over the rows of a `.parquet` file.
pub(super) struct ParquetFile {
    path: String,
    reader: SerializedFileReader<File>,
    /// Index of the text column.
    column_index: usize,
    /// Parquet marks a null by a definition level below this one. 0: the column cannot hold nulls.
    max_definition_level: i16,
    column_name: String,
    /// Row groups that were not opened yet.
    row_groups: std::ops::Range<usize>,
    /// Reader of the open row group.
    column_reader: Option<ColumnReaderImpl<ByteArrayType>>,
    /// Number of the last row, from 1.
    row_number: u64,
    /// Rows that were read and not returned yet.
    pending: std::vec::IntoIter<Result<Row, DataError>>,
}

impl ParquetFile {
    /// Opens a file. The text is in the column `field`; without a column of the default name `text`, in the only
    /// string column.
    pub fn open(path: &Path, field: &str) -> Result<Self, DataError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(super::entry::io_error(path, "open the file"))?;
        let reader = SerializedFileReader::new(file).map_err(|error| corrupt_file_error(&name, &error))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let column = text_column(schema, &name, field)?;
        let descriptor = schema.column(column);
        Ok(Self {
            column_index: column,
            max_definition_level: descriptor.max_def_level(),
            column_name: descriptor.name().into(),
            row_groups: 0..reader.num_row_groups(),
            path: name,
            reader,
            column_reader: None,
            row_number: 0,
            pending: Vec::new().into_iter(),
        })
    }

    /// Name of the text column.
    pub fn column_name(&self) -> &str {
        &self.column_name
    }

    /// Next row; `None` at the end of the file.
    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        loop {
            if let Some(row) = self.pending.next() {
                return row.map(Some);
            }
            if self.column_reader.is_none() && !self.open_row_group()? {
                return Ok(None);
            }
            self.read_rows()?;
        }
    }

    /// Opens the next row group; false if there is none.
    fn open_row_group(&mut self) -> Result<bool, DataError> {
        let Some(group) = self.row_groups.next() else { return Ok(false) };
        let chunk = self.reader.metadata().row_group(group).column(self.column_index);
        let offsets = [chunk.data_page_offset(), chunk.dictionary_page_offset().unwrap_or(0), chunk.compressed_size()];
        // The `parquet` crate panics on negative values.
        if offsets.iter().any(|offset| *offset < 0) {
            let reason = "a column has a negative offset or size".into();
            return Err(corrupt_file_error(&self.path, &ParquetError::General(reason)));
        }
        let pages = self.reader.get_row_group(group).and_then(|group| group.get_column_page_reader(self.column_index));
        let pages = CheckedPages::new(pages.map_err(|error| corrupt_file_error(&self.path, &error))?);
        let column = self.reader.metadata().file_metadata().schema_descr().column(self.column_index);
        self.column_reader = Some(ColumnReaderImpl::new(column, Box::new(pages)));
        Ok(true)
    }

    /// Reads the next rows of the open row group into `pending`; closes the group at its end.
    fn read_rows(&mut self) -> Result<(), DataError> {
        let Some(rows) = &mut self.column_reader else { return Ok(()) };
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let levels_out = (self.max_definition_level > 0).then_some(&mut levels);
        // The `parquet` crate trusts lengths within a page and panics if they exceed it.
        let result = catch_unwind(AssertUnwindSafe(|| rows.read_records(READ_ROWS, levels_out, None, &mut values)));
        let result =
            result.unwrap_or_else(|_| Err(ParquetError::General("the values of a page exceed the page".into())));
        let (num_rows, ..) = match result {
            Ok(counts) => counts,
            Err(error) => {
                // The reader may be in an inconsistent state: end the iteration.
                (self.column_reader, self.row_groups) = (None, 0..0);
                return Err(corrupt_file_error(&self.path, &error));
            }
        };
        if num_rows == 0 {
            self.column_reader = None;
            return Ok(());
        }
        let mut values = values.into_iter();
        let mut read = Vec::new();
        for i in 0..num_rows {
            self.row_number += 1;
            let has_value = self.max_definition_level == 0 || levels.get(i) == Some(&self.max_definition_level);
            read.push(self.row(if has_value { values.next() } else { None }));
        }
        self.pending = read.into_iter();
        Ok(())
    }

    /// The current row with this value, `None` for a null.
    fn row(&self, value: Option<ByteArray>) -> Result<Row, DataError> {
        let (path, number) = (self.path.as_str(), self.row_number);
        let value = value.ok_or_else(|| field_type_error(path, number, &self.column_name, "null"))?;
        let text = std::str::from_utf8(value.data()).map_err(|error| DataError::InvalidUtf8 {
            path: path.into(),
            line: number,
            offset: error.valid_up_to() as u64,
        })?;
        Ok(Row { value: text.into(), number })
    }
}

/// Error for a file that is not valid Parquet.
pub(super) fn corrupt_file_error(path: &str, error: &ParquetError) -> DataError {
    DataError::CorruptFile { path: path.into(), reason: error.to_string() }
}

/// Error for a column or value that is not text; `line` is the row number, or 0 for the whole column.
fn field_type_error(path: &str, line: u64, field: &str, found: &'static str) -> DataError {
    DataError::WrongFieldType { path: path.into(), line, field: field.into(), found }
}

/// Index of the column called `field`, else of the only string column, if `field` is the default.
///
/// Fails if `field` is a column of another type, or if there is no such column and not exactly one string column.
fn text_column(schema: &SchemaDescriptor, path: &str, field: &str) -> Result<usize, DataError> {
    let columns = schema.columns();
    let string_columns: Vec<usize> = (0..columns.len()).filter(|column| is_text_column(&columns[*column])).collect();
    match (columns.iter().position(|column| column.path().string() == field), string_columns.as_slice()) {
        (Some(column), strings) if strings.contains(&column) => Ok(column),
        (Some(_), _) => Err(field_type_error(path, 0, field, "not a string column")),
        (None, [only]) if field == DEFAULT_TEXT_FIELD => Ok(*only),
        (None, _) => {
            let found = schema.root_schema().get_fields().iter().map(|column| column.name().to_string()).collect();
            Err(missing_field_error(path.into(), 0, field.into(), found))
        }
    }
}

/// Whether a column holds one UTF-8 string per row.
fn is_text_column(column: &ColumnDescriptor) -> bool {
    column.max_rep_level() == 0
        && column.physical_type() == Physical::BYTE_ARRAY
        && (column.logical_type_ref() == Some(&LogicalType::String) || column.converted_type() == ConvertedType::UTF8)
}

impl Iterator for ParquetFile {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}
