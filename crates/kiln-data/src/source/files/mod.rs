//! File source: text, JSON, CSV, TSV and Parquet files and folders, read as a stream.
//!
//! Files are in the file system (feature `files`) or in memory. Both are read by the same code; in memory there are no folders,
//! and Parquet and compressed files are refused.
//!
//! | file | documents | compressed (gzip, Zstandard) |
//! |---|---|---|
//! | JSON lines, JSON lists | each row: the field [`FilesConfig::field`] of the object, or the string | yes |
//! | `*.csv`, `*.tsv` | each row: the column [`FilesConfig::field`], or the only column | yes |
//! | Parquet | each row: the column [`FilesConfig::field`], or the only string column | no (compressed inside) |
//! | any other | the whole file, as UTF-8 text | yes |
//!
//! Compression and format are recognized by the content and by the name; see the module `open`. A byte order mark is removed.
//!
//! A bad row (no text, a null, invalid UTF-8, half of a surrogate pair, broken JSON or CSV) is an error, unless
//! [`FilesConfig::skip_bad_rows`] is set. A file that is listed explicitly must be readable. Files in folders whose start shows
//! that they hold no text are skipped. Bad rows and skipped files are counted in the [`ReadReport`].

mod check;
#[cfg(feature = "files")]
mod checked_pages;
mod csv;
#[cfg(feature = "files")]
mod decompress;
mod documents;
pub(crate) mod entry;
#[cfg(all(test, feature = "files"))]
mod fault_tests;
#[cfg(all(test, feature = "files"))]
mod format_tests;
mod json;
mod lines;
#[cfg(all(test, feature = "files"))]
mod memory_tests;
mod open;
pub(crate) mod open_fields;
mod open_parquet;
#[cfg(feature = "files")]
mod parquet;
#[cfg(feature = "files")]
mod parquet_fields;
mod reader;
pub(crate) mod rows;
mod signature;
#[cfg(all(test, feature = "files"))]
mod tests;
mod text;
#[cfg(feature = "files")]
mod walk;

use super::{Documents, Source, StopSignal, report::ReadReport};
use crate::{DataError, FilesConfig, config::DEFAULT_TEXT_FIELD};
use documents::FileDocuments;
pub use entry::ReadFile;
use entry::{FileList, FileLocation};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Text source of files and folders.
#[derive(Debug)]
pub struct FileSource {
    config: FilesConfig,
    files: FileList,
    /// Report of the current pass. Behind a lock because `documents` takes `&self`.
    report: Mutex<ReadReport>,
}

impl FileSource {
    /// Lists the files of the configured paths; folders are listed recursively.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`] or [`DataError::NotAFile`] for a path, [`DataError::NoText`] if there is no file.
    #[cfg(feature = "files")]
    pub fn open(config: &FilesConfig) -> Result<Self, DataError> {
        Self::open_at(config, FileLocation::Disk)
    }

    /// Lists the files of the configured paths at a location.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn open_at(config: &FilesConfig, location: FileLocation) -> Result<Self, DataError> {
        let files = location.list_files(config)?;
        let source = Self { config: config.clone(), files, report: Mutex::default() };
        if source.files.entries.is_empty() {
            return Err(DataError::NoText { origin: source.describe_paths() });
        }
        Ok(source)
    }

    /// Returns the number of files, including those that will be skipped.
    pub fn num_files(&self) -> usize {
        self.files.entries.len()
    }

    /// The configured paths.
    fn describe_paths(&self) -> String {
        self.config.paths.join(", ")
    }

    /// Changes the report of the current pass.
    fn update_report(&self, update: impl FnOnce(&mut ReadReport)) {
        update(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a bad row that is to be left out; returns any other error.
    fn skip_or_return(&self, error: DataError) -> Result<(), DataError> {
        if !self.config.skip_bad_rows || !error.is_bad_row() {
            return Err(error);
        }
        self.update_report(|report| report.bad_rows.add(&error));
        Ok(())
    }
}

/// Whether the size of a file differs from the size of its text.
fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["gz", "zst", "parquet"].iter().any(|known| extension == *known))
}

impl Source for FileSource {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        self.update_report(|report| {
            *report = ReadReport::default();
            self.files.dangling.iter().for_each(|error| report.skipped_files.add(error));
        });
        Ok(Box::new(FileDocuments::new(self)))
    }

    fn describe(&self) -> String {
        self.describe_paths()
    }

    fn size_bytes(&self) -> Option<u64> {
        let is_compressed = self.files.entries.iter().any(|entry| is_compressed(&entry.path));
        (!is_compressed).then(|| self.files.entries.iter().map(|entry| entry.size).sum())
    }

    fn check(&self, stop: StopSignal) -> Result<(), DataError> {
        check::check_files(self, stop)
    }

    fn report(&self) -> ReadReport {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_unused = report.documents.keys().all(|(_, field)| field.is_none()) && !report.documents.is_empty();
        let is_default = self.config.field == DEFAULT_TEXT_FIELD;
        ReadReport { unused_field: (is_unused && !is_default).then(|| self.config.field.clone()), ..report }
    }
}
