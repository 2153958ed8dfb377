//! Opening of a file: recognizes its format by its name and its first bytes.
//!
//! A file in a folder is skipped only if its start shows that it holds no text, or that it is a `.json` file without rows.
//! Files whose names promise rows, such as `.jsonl` and `.csv`, are never skipped.

use super::{
    csv::CsvFile,
    entry::{FileEntry, io_error},
    json::{self, JsonShape},
    open_parquet::parquet_rows,
    reader::{FileReader, read_start},
    rows::{RowDocuments, Rows},
    signature::{SIGNATURE_BYTES, Signature, find_signature, is_likely_text},
    text::TextFile,
};
use crate::{
    DataError,
    source::{Documents, MAX_PART_BYTES, report::FileFormat},
};
use std::{io::SeekFrom, path::Path};

/// Bytes of a file that are read to recognize its format: the first part of a text.
pub(super) const START_BYTES: usize = MAX_PART_BYTES;

/// Extensions of files with rows.
pub(super) const ROW_EXTENSIONS: [&str; 7] = [".jsonl", ".ndjson", ".jsonlines", ".ldjson", ".csv", ".tsv", ".parquet"];
/// Extensions of compressed files and archives.
const ARCHIVE_EXTENSIONS: [&str; 7] = [".gz", ".zst", ".bz2", ".xz", ".zip", ".lz4", ".7z"];

/// First and last bytes of a Parquet file.
pub(super) const PARQUET_MAGIC: &[u8] = b"PAR1";

/// File that was opened.
pub(super) enum OpenFile<'a> {
    /// Its documents.
    Documents {
        documents: Documents<'a>,
        format: FileFormat,
        /// Name of the field or column with the text.
        field: Option<String>,
    },
    /// A file in a folder that holds no text, with the reason.
    Skipped(DataError),
}

/// Opens a file with the text in `field`, if it has rows.
///
/// # Errors
/// Errors that concern the whole file, such as a missing column or an unsupported format.
pub(super) fn open_file<'a>(entry: &FileEntry, field: &str) -> Result<OpenFile<'a>, DataError> {
    match open_documents(entry, field) {
        Err(error) if !entry.is_explicit && is_skippable(&entry.path, &error) => Ok(OpenFile::Skipped(error)),
        result => result,
    }
}

/// Whether a file in a folder is skipped because of this error at its start.
pub(super) fn is_skippable(path: &Path, error: &DataError) -> bool {
    let name = FileReader::uncompressed_name(path);
    let name = ARCHIVE_EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(&name);
    let promises_rows = ROW_EXTENSIONS.iter().any(|extension| name.ends_with(extension));
    match error {
        DataError::UnsupportedFile { is_text, .. } => !promises_rows && !is_text,
        // Line 0: not a row.
        DataError::InvalidUtf8 { line: 0, .. } | DataError::CorruptFile { .. } => !promises_rows,
        DataError::InvalidJsonLine { .. } | DataError::MissingTextField { .. } => name.ends_with(".json"),
        _ => false,
    }
}

/// Documents of a file. Errors at its start are returned here.
fn open_documents<'a>(entry: &FileEntry, field: &str) -> Result<OpenFile<'a>, DataError> {
    let path = &entry.path;
    let name = FileReader::uncompressed_name(path);
    let raw_start = raw_start(entry)?;
    refuse_signature(path, find_signature(&raw_start))?;
    if is_parquet(entry, &raw_start)? {
        let (rows, column) = parquet_rows(entry, field)?;
        return Ok(row_documents(path, rows, FileFormat::Parquet, column));
    }
    let mut reader = FileReader::open(entry)?;
    let start = reader.read_ahead(START_BYTES)?.to_vec();
    if start.starts_with(PARQUET_MAGIC) && reader.is_compressed() {
        return Err(DataError::CompressedParquet { path: path.display().to_string() });
    }
    refuse_signature(path, find_signature(&start))?;
    if name.ends_with(".csv") || name.ends_with(".tsv") {
        return open_csv(path, reader, &start, name.ends_with(".tsv"), field);
    }
    if let Some(shape) = rows_of_json(entry, &name, &start, field)? {
        let format = if shape == JsonShape::Array { FileFormat::JsonArray } else { FileFormat::JsonLines };
        return Ok(row_documents(path, shape.rows(reader, field), format, field.into()));
    }
    if !entry.is_explicit {
        check_text(path, &start)?;
    }
    Ok(OpenFile::Documents { documents: Box::new(TextFile::new(reader)), format: FileFormat::Text, field: None })
}

/// Documents of a file with rows.
fn row_documents<'a>(path: &Path, rows: Rows, format: FileFormat, field: String) -> OpenFile<'a> {
    let documents = Box::new(RowDocuments::new(&path.display().to_string(), rows));
    OpenFile::Documents { documents, format, field: Some(field) }
}

/// Documents of a CSV or TSV file.
fn open_csv<'a>(
    path: &Path,
    reader: FileReader,
    start: &[u8],
    is_tsv: bool,
    field: &str,
) -> Result<OpenFile<'a>, DataError> {
    let format = if is_tsv { FileFormat::Tsv } else { FileFormat::Csv };
    Ok(match CsvFile::open(reader, start, is_tsv, field)? {
        Some(file) => {
            let column = file.field().to_string();
            row_documents(path, Box::new(file), format, column)
        }
        None => row_documents(path, Box::new(std::iter::empty()), format, field.into()),
    })
}

/// The shape of a file with JSON rows; `None` for a text file.
///
/// `.jsonl` and its other names have rows, and so does a `.json` file that is given explicitly. In a folder, a `.json` file has
/// rows if one of the first has the text field; any other file if all of the first are JSON and one has the field.
fn rows_of_json(entry: &FileEntry, name: &str, start: &[u8], field: &str) -> Result<Option<JsonShape>, DataError> {
    let shape = json::json_shape(start);
    if ROW_EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
        return Ok(Some(shape.unwrap_or(JsonShape::Lines)));
    }
    if !name.ends_with(".json") {
        return Ok(shape.filter(|shape| json::has_rows(*shape, start, field, true)));
    }
    let shape = shape.unwrap_or(JsonShape::Lines);
    if entry.is_explicit || start.trim_ascii().is_empty() || json::has_rows(shape, start, field, false) {
        return Ok(Some(shape));
    }
    let reader = FileReader::from_bytes(&entry.path.display().to_string(), start.to_vec());
    match shape.rows(reader, field).next() {
        Some(Err(error)) => Err(error),
        _ => Ok(Some(shape)),
    }
}

/// Error for a file that is not text.
pub(super) fn refuse_signature(path: &Path, signature: Option<&Signature>) -> Result<(), DataError> {
    let Some(Signature { name: found, help, is_text, .. }) = signature else { return Ok(()) };
    Err(DataError::UnsupportedFile { path: path.display().to_string(), found, help, is_text: *is_text })
}

/// Error for the start of a file in a folder that is no text: it begins with U+0000, or is neither UTF-8 nor likely text in
/// another encoding. Text in another encoding is an error of the reader, and no reason to skip the file.
pub(super) fn check_text(path: &Path, start: &[u8]) -> Result<(), DataError> {
    let path = path.display().to_string();
    if start.first() == Some(&0) {
        return Err(DataError::InvalidUtf8 { path, line: 0, offset: 0 });
    }
    match std::str::from_utf8(start) {
        Err(error) if error.error_len().is_some() && !is_likely_text(start) => {
            Err(DataError::InvalidUtf8 { path, line: 0, offset: error.valid_up_to() as u64 })
        }
        _ => Ok(()),
    }
}

/// The first bytes of a file as it is stored.
pub(super) fn raw_start(entry: &FileEntry) -> Result<Vec<u8>, DataError> {
    read_start(&mut *entry.open()?, SIGNATURE_BYTES).map_err(io_error(&entry.path, "read the file"))
}

/// Whether a file is Parquet by its name, or by its first and last bytes.
pub(super) fn is_parquet(entry: &FileEntry, raw_start: &[u8]) -> Result<bool, DataError> {
    if entry.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
        return Ok(true);
    }
    if !raw_start.starts_with(PARQUET_MAGIC) || raw_start.len() < 2 * PARQUET_MAGIC.len() {
        return Ok(false);
    }
    let mut end = Vec::new();
    let mut file = entry.open()?;
    let read_end = file.seek(SeekFrom::End(-(PARQUET_MAGIC.len() as i64))).and_then(|_| file.read_to_end(&mut end));
    read_end.map_err(io_error(&entry.path, "read the file"))?;
    Ok(end == PARQUET_MAGIC)
}
