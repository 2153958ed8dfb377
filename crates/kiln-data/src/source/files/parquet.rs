//! A `.parquet`: a column of texts, read row group by row group.

use super::checked_pages::CheckedPages;
use crate::{
    DataError,
    source::{Document, document_parts},
};
use parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    column::reader::ColumnReaderImpl,
    data_type::ByteArrayType,
    errors::ParquetError,
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// So many rows are read at once.
const READ_ROWS: usize = 64;

/// The documents of a `.parquet`: each row's text.
pub(crate) struct ParquetFile {
    path: String,
    reader: SerializedFileReader<File>,
    /// Which column holds the text, and the level at which a value is there.
    column_index: usize,
    max_definition_level: i16,
    column_name: String,
    row_groups: std::ops::Range<usize>,
    column_reader: Option<ColumnReaderImpl<ByteArrayType>>,
    row_number: u64,
    pending: std::vec::IntoIter<Document>,
}

impl ParquetFile {
    /// Opens a file. Its text is the column `field`, or the only column of strings.
    pub fn open(path: &Path, field: &str) -> Result<Self, DataError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(super::walk::io_error(path, "open the file"))?;
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

    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            if let Some(document) = self.pending.next() {
                return Ok(Some(document));
            }
            if self.column_reader.is_none() && !self.open_row_group()? {
                return Ok(None);
            }
            self.read_rows()?;
        }
    }

    fn open_row_group(&mut self) -> Result<bool, DataError> {
        let Some(group) = self.row_groups.next() else { return Ok(false) };
        let facts = self.reader.metadata().row_group(group).column(self.column_index);
        let places = [facts.data_page_offset(), facts.dictionary_page_offset().unwrap_or(0), facts.compressed_size()];
        // The library counts on it.
        if places.iter().any(|place| *place < 0) {
            return Err(corrupt_file_error(
                &self.path,
                &ParquetError::General("a column before the beginning of the file".into()),
            ));
        }
        let pages = self.reader.get_row_group(group).and_then(|group| group.get_column_page_reader(self.column_index));
        let pages = CheckedPages::new(pages.map_err(|error| corrupt_file_error(&self.path, &error))?);
        let column = self.reader.metadata().file_metadata().schema_descr().column(self.column_index);
        self.column_reader = Some(ColumnReaderImpl::new(column, Box::new(pages)));
        Ok(true)
    }

    /// The next rows of this group; none at its end.
    fn read_rows(&mut self) -> Result<(), DataError> {
        let Some(rows) = &mut self.column_reader else { return Ok(()) };
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let levels_of = (self.max_definition_level > 0).then_some(&mut levels);
        // The library counts on lengths within a page and panics where they lead out of it.
        let read = catch_unwind(AssertUnwindSafe(|| rows.read_records(READ_ROWS, levels_of, None, &mut values)));
        let read = read.unwrap_or_else(|_| Err(ParquetError::General("a page whose values lead out of it".into())));
        let (records, ..) = match read {
            Ok(read) => read,
            Err(error) => {
                // Nothing is read of what is left half-way.
                (self.column_reader, self.row_groups) = (None, 0..0);
                return Err(corrupt_file_error(&self.path, &error));
            }
        };
        if records == 0 {
            self.column_reader = None;
            return Ok(());
        }
        let mut values = values.into_iter();
        let mut found = Vec::new();
        for i in 0..records {
            self.row_number += 1;
            // A row without a value has no text.
            let there = self.max_definition_level == 0 || levels.get(i) == Some(&self.max_definition_level);
            let value = if there { values.next() } else { None };
            let Some(value) = value else { continue };
            let text = std::str::from_utf8(value.data());
            let text =
                text.map_err(|_| field_type_error(&self.path, self.row_number, &self.column_name, "no UTF-8 text"))?;
            found.extend(document_parts(text, format!("{}:{}", self.path, self.row_number)));
        }
        self.pending = found.into_iter();
        Ok(())
    }
}

fn corrupt_file_error(path: &str, error: &ParquetError) -> DataError {
    DataError::CorruptFile { path: path.into(), reason: error.to_string() }
}

fn field_type_error(path: &str, line: u64, field: &str, found: &'static str) -> DataError {
    DataError::WrongFieldType { path: path.into(), line, field: field.into(), found }
}

/// The column called `field`, else the only one of strings.
fn text_column(schema: &SchemaDescriptor, path: &str, field: &str) -> Result<usize, DataError> {
    let columns = schema.columns();
    let texts: Vec<usize> = (0..columns.len()).filter(|column| is_text_column(&columns[*column])).collect();
    match (columns.iter().position(|column| column.path().string() == field), texts.as_slice()) {
        (Some(column), texts) if texts.contains(&column) => Ok(column),
        (Some(_), _) => Err(field_type_error(path, 0, field, "no column of strings")),
        (None, [only]) => Ok(*only),
        (None, _) => {
            let found = columns.iter().map(|column| format!("`{}`", column.path().string())).collect();
            Err(DataError::MissingTextField { path: path.into(), line: 0, field: field.into(), found })
        }
    }
}

fn is_text_column(column: &ColumnDescriptor) -> bool {
    column.max_rep_level() == 0
        && column.physical_type() == Physical::BYTE_ARRAY
        && (column.logical_type_ref() == Some(&LogicalType::String) || column.converted_type() == ConvertedType::UTF8)
}

impl Iterator for ParquetFile {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}
