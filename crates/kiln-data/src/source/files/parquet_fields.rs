//! Rows of a Parquet file with all of their columns: nested lists, structs and maps become JSON values.
//!
//! Columns that no example format reads are left out of the schema, so that they are not decoded. A null within a struct is
//! left out: a Parquet file has every field of a struct in each row.

use super::{
    parquet::corrupt_file_error,
    rows::{Fields, Row},
};
use crate::DataError;
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    record::{Field, Row as Record, reader::RowIter},
    schema::types::Type,
};
use serde_json::{Map, Value};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

/// Iterator over the rows of a `.parquet` file. Rows are numbered from 1.
pub(super) struct ParquetFields {
    path: String,
    rows: Option<RowIter<'static>>,
    row_number: u64,
}

impl ParquetFields {
    /// Opens a file. Only the columns that `known` accepts are read; all of them, if it accepts none.
    ///
    /// # Errors
    /// [`DataError::CorruptFile`] for a file that is not valid Parquet.
    pub fn open(path: &Path, known: impl Fn(&str) -> bool) -> Result<Self, DataError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(super::entry::io_error(path, "open the file"))?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let reader = SerializedFileReader::new(file)?;
            check_offsets(&reader)?;
            let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
            RowIter::from_file_into(Box::new(reader)).project(projection(&schema, known)?)
        }));
        let rows = opened.unwrap_or_else(|_| Err(panic_error())).map_err(|error| corrupt_file_error(&name, &error))?;
        Ok(Self { path: name, rows: Some(rows), row_number: 0 })
    }

    /// Next row; `None` at the end of the file. After an error in the file, nothing is left to read.
    fn next_row(&mut self) -> Option<Result<Row<Fields>, DataError>> {
        let rows = self.rows.as_mut()?;
        // The `parquet` crate trusts lengths within a page and panics if they exceed it.
        let record = catch_unwind(AssertUnwindSafe(|| rows.next())).unwrap_or_else(|_| Some(Err(panic_error())))?;
        self.row_number += 1;
        let number = self.row_number;
        match record {
            Ok(record) => Some(Ok(Row { value: object(record), number })),
            Err(error) => {
                self.rows = None;
                Some(Err(corrupt_file_error(&self.path, &error)))
            }
        }
    }
}

/// Error in place of a panic of the decoder.
fn panic_error() -> ParquetError {
    ParquetError::General("the values of a page exceed the page".into())
}

/// Error for negative offsets, at which the `parquet` crate panics.
fn check_offsets(reader: &SerializedFileReader<File>) -> ParquetResult<()> {
    let groups = reader.metadata().row_groups().iter();
    for column in groups.flat_map(|group| group.columns()) {
        let offsets =
            [column.data_page_offset(), column.dictionary_page_offset().unwrap_or(0), column.compressed_size()];
        if offsets.iter().any(|offset| *offset < 0) {
            return Err(ParquetError::General("a column has a negative offset or size".into()));
        }
    }
    Ok(())
}

/// The schema with the known columns; `None` for all columns.
fn projection(schema: &Type, known: impl Fn(&str) -> bool) -> ParquetResult<Option<Type>> {
    let columns: Vec<Arc<Type>> = schema.get_fields().iter().filter(|column| known(column.name())).cloned().collect();
    if columns.is_empty() {
        return Ok(None);
    }
    Type::group_type_builder(schema.name()).with_fields(columns).build().map(Some)
}

/// The columns of a record, or the fields of a struct.
fn object(record: Record) -> Fields {
    record.into_columns().into_iter().map(|(name, field)| (name, value(&field))).collect()
}

/// A field as JSON.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(record) => {
            let fields = record.get_column_iter().filter(|(_, field)| !matches!(field, Field::Null));
            Value::Object(fields.map(|(name, field)| (name.clone(), value(field))).collect())
        }
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let key = |field: &Field| match field {
                Field::Str(text) => text.clone(),
                other => other.to_string(),
            };
            Value::Object(Map::from_iter(map.entries().iter().map(|(name, field)| (key(name), value(field)))))
        }
        other => other.to_string().into(),
    }
}

impl Iterator for ParquetFields {
    type Item = Result<Row<Fields>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row()
    }
}
