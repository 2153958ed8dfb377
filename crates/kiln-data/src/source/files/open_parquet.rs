//! Opening of Parquet files, which are on disk only.

use super::{
    entry::FileEntry,
    rows::{Fields, Rows},
};
use crate::DataError;

/// The rows of a Parquet file with the text in the column `field`, and the name of that column.
pub(super) fn parquet_rows(entry: &FileEntry, field: &str) -> Result<(Rows, String), DataError> {
    #[cfg(feature = "files")]
    if entry.contents.is_none() {
        let file = super::parquet::ParquetFile::open(&entry.path, field)?;
        let column = file.column_name().to_owned();
        return Ok((Box::new(file), column));
    }
    Err(refusal(entry, field))
}

/// The rows of a Parquet file with the columns that `known` accepts.
pub(super) fn parquet_fields(entry: &FileEntry, known: &dyn Fn(&str) -> bool) -> Result<Rows<Fields>, DataError> {
    #[cfg(feature = "files")]
    if entry.contents.is_none() {
        return Ok(Box::new(super::parquet_fields::ParquetFields::open(&entry.path, known)?));
    }
    Err(refusal(entry, known))
}

/// The error of a file in memory.
fn refusal<T: ?Sized>(entry: &FileEntry, _columns: &T) -> DataError {
    entry.refuse("a Parquet file", "save the table as CSV or JSON lines: a Parquet file is read from a disk only")
}
