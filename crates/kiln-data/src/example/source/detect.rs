//! Recognition of the format of files by the fields of their first rows.

use super::files::ExampleFiles;
use crate::{
    DataError, FilesConfig,
    example::{
        ExampleFormat,
        format::{FieldSample, Recognized, is_known_column, list_formats, recognize},
    },
    source::files::{
        entry::{FileEntry, FileLocation},
        open_fields::{OpenRows, open_rows},
        rows::{Fields, Rows},
    },
};

/// Rows of a file that are read to recognize its format.
const SAMPLE_ROWS: usize = 8;

/// Format of a source, and the fields by which it was recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedFormat {
    /// The format; [`ExampleFormat::Text`] for plain text and for rows whose fields belong to no format.
    pub format: ExampleFormat,
    /// Fields of the first rows.
    pub fields: Vec<String>,
}

impl ExampleFiles {
    /// The format of the files of `config`, recognized by the fields of the first rows of each. Files that hold plain text, and
    /// rows whose fields belong to no format, count as text.
    ///
    /// # Errors
    /// [`DataError::AmbiguousFormat`] for fields of several formats, [`DataError::MixedFormats`] for files of different
    /// formats, and errors of opening a file.
    #[cfg(feature = "files")]
    pub fn detect(config: &FilesConfig) -> Result<DetectedFormat, DataError> {
        Self::detect_at(config, FileLocation::Disk)
    }

    /// The format of the files of `config` at a location.
    ///
    /// # Errors
    /// As `detect`.
    pub(crate) fn detect_at(config: &FilesConfig, location: FileLocation) -> Result<DetectedFormat, DataError> {
        let mut found: Option<(String, DetectedFormat)> = None;
        for entry in &location.list_files(config)?.entries {
            let Some(detected) = detect_file(entry, config)? else { continue };
            let path = entry.path.display().to_string();
            match &found {
                None => found = Some((path, detected)),
                Some((_, known)) if known.format == detected.format => {}
                Some((other, known)) => {
                    let formats = Box::new([known.format, detected.format]);
                    return Err(DataError::MixedFormats { path, other: other.clone(), formats });
                }
            }
        }
        let text = DetectedFormat { format: ExampleFormat::Text, fields: Vec::new() };
        Ok(found.map_or(text, |(_, detected)| detected))
    }
}

/// The first rows, and their fields.
pub(super) fn sample_rows(rows: &mut Rows<Fields>) -> (FieldSample, Vec<<Rows<Fields> as Iterator>::Item>) {
    let first: Vec<_> = rows.take(SAMPLE_ROWS).collect();
    let mut sample = FieldSample::default();
    first.iter().flatten().for_each(|row| sample.add(&row.value));
    (sample, first)
}

/// The format of a file; `None` for one that tells nothing: without rows, or one in a folder without text.
fn detect_file(entry: &FileEntry, config: &FilesConfig) -> Result<Option<DetectedFormat>, DataError> {
    let text = |fields| Ok(Some(DetectedFormat { format: ExampleFormat::Text, fields }));
    let opened = open_rows(entry, &|name| is_known_column(name) || name == config.field);
    let mut rows = match opened {
        Ok(OpenRows::Rows(rows, _)) => rows,
        Ok(OpenRows::PlainText) if entry.is_explicit => return text(Vec::new()),
        Ok(OpenRows::PlainText | OpenRows::Skipped(_)) => return Ok(None),
        // Reading the text gives this error, too, or leaves the file out.
        Err(_) => return Ok(None),
    };
    let (sample, _) = sample_rows(&mut rows);
    let fields: Vec<String> = sample.names().map(str::to_owned).collect();
    match recognize(&sample, &config.field) {
        _ if fields.is_empty() => Ok(None),
        Recognized::Format(format) => Ok(Some(DetectedFormat { format, fields })),
        Recognized::Unknown if entry.is_explicit => text(fields),
        Recognized::Unknown => Ok(None),
        Recognized::Ambiguous(formats) => {
            let path = entry.path.display().to_string();
            let found = fields.iter().map(|name| format!("`{name}`")).collect();
            Err(DataError::AmbiguousFormat { path, found, formats, known: list_formats() })
        }
    }
}
