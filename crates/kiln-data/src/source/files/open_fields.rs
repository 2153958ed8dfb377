//! Opening of a file whose rows are examples of several fields.

use super::{
    csv::CsvFields,
    entry::FileEntry,
    json::{self, JsonShape},
    open::{
        PARQUET_MAGIC, ROW_EXTENSIONS, START_BYTES, check_text, is_parquet, is_skippable, raw_start, refuse_signature,
    },
    open_parquet::parquet_fields,
    reader::FileReader,
    rows::{Fields, Rows},
    signature::find_signature,
};
use crate::{DataError, source::report::FileFormat};

/// File that was opened for its rows.
pub(crate) enum OpenRows {
    /// Its rows.
    Rows(Rows<Fields>, FileFormat),
    /// A file of plain text: it has no fields.
    PlainText,
    /// A file in a folder that holds neither rows nor text, with the reason.
    Skipped(DataError),
}

/// Opens a file for the columns that `known` accepts.
///
/// Formats are recognized as for text. A file whose name is not that of a format with rows has rows if all of the first are
/// JSON objects.
///
/// # Errors
/// Errors that concern the whole file.
pub(crate) fn open_rows(entry: &FileEntry, known: &dyn Fn(&str) -> bool) -> Result<OpenRows, DataError> {
    match open(entry, known) {
        Err(error) if !entry.is_explicit && is_skippable(&entry.path, &error) => Ok(OpenRows::Skipped(error)),
        result => result,
    }
}

fn open(entry: &FileEntry, known: &dyn Fn(&str) -> bool) -> Result<OpenRows, DataError> {
    let path = &entry.path;
    let name = FileReader::uncompressed_name(path);
    let raw_start = raw_start(entry)?;
    refuse_signature(path, find_signature(&raw_start))?;
    if is_parquet(entry, &raw_start)? {
        return Ok(OpenRows::Rows(parquet_fields(entry, known)?, FileFormat::Parquet));
    }
    let mut reader = FileReader::open(entry)?;
    let start = reader.read_ahead(START_BYTES)?.to_vec();
    if start.starts_with(PARQUET_MAGIC) && reader.is_compressed() {
        return Err(DataError::CompressedParquet { path: path.display().to_string() });
    }
    refuse_signature(path, find_signature(&start))?;
    if name.ends_with(".csv") || name.ends_with(".tsv") {
        let is_tsv = name.ends_with(".tsv");
        let format = if is_tsv { FileFormat::Tsv } else { FileFormat::Csv };
        let rows: Rows<Fields> = match CsvFields::open(reader, &start, is_tsv, known)? {
            Some(rows) => Box::new(rows),
            None => Box::new(std::iter::empty()),
        };
        return Ok(OpenRows::Rows(rows, format));
    }
    if let Some(shape) = shape_of_rows(entry, &name, &start) {
        let format = if shape == JsonShape::Array { FileFormat::JsonArray } else { FileFormat::JsonLines };
        return Ok(OpenRows::Rows(shape.field_rows(reader), format));
    }
    if !entry.is_explicit {
        check_text(path, &start)?;
    }
    Ok(OpenRows::PlainText)
}

/// The shape of a file with JSON rows; `None` for a text file.
fn shape_of_rows(entry: &FileEntry, name: &str, start: &[u8]) -> Option<JsonShape> {
    let shape = json::json_shape(start);
    let promises_rows = ROW_EXTENSIONS.iter().any(|extension| name.ends_with(extension));
    if promises_rows || (name.ends_with(".json") && entry.is_explicit) {
        return Some(shape.unwrap_or(JsonShape::Lines));
    }
    shape.filter(|shape| json::has_object_rows(*shape, start))
}
