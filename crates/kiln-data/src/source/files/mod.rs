//! File source: text files, folders, JSON Lines and Parquet files, read as a stream.
//!
//! | file | documents | compressed (`.gz`, `.zst`) |
//! |---|---|---|
//! | `*.jsonl` | each line: the field [`FilesConfig::field`] of the object | yes |
//! | `*.parquet` | each row: the column [`FilesConfig::field`], or the only string column | no (compressed inside) |
//! | any other | the whole file, as UTF-8 text | yes |
//!
//! A file that is listed explicitly must be readable text. Files in folders that are not text (invalid UTF-8, a corrupt
//! archive, a NUL character) are skipped and counted ([`Source::num_skipped_files`]).

mod checked_pages;
mod jsonl;
mod parquet;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use super::{Document, Documents, Source};
use crate::{DataError, FilesConfig};
use reader::FileReader;
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use walk::FileEntry;

/// Text source of files and folders.
#[derive(Debug)]
pub struct FileSource {
    config: FilesConfig,
    entries: Vec<FileEntry>,
    /// Files skipped in the current pass. Atomic because `documents` takes `&self`.
    num_skipped: AtomicUsize,
}

impl FileSource {
    /// Lists the files of the configured paths; folders are listed recursively.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`] or [`DataError::NotAFile`] for a path, [`DataError::NoText`] if there is no file.
    pub fn open(config: &FilesConfig) -> Result<Self, DataError> {
        let entries = walk::list_files(config)?;
        let files = Self { config: config.clone(), entries, num_skipped: AtomicUsize::new(0) };
        if files.entries.is_empty() {
            return Err(DataError::NoText { origin: files.describe() });
        }
        Ok(files)
    }

    /// Returns the number of files, including those that will be skipped.
    pub fn num_files(&self) -> usize {
        self.entries.len()
    }

    /// Documents of one file. An error while opening it is the only item.
    fn read_entry<'a>(&'a self, entry: &'a FileEntry) -> Documents<'a> {
        if is_parquet(&entry.path) {
            return match parquet::ParquetFile::open(&entry.path, &self.config.field) {
                Ok(file) => Box::new(file),
                Err(error) => Box::new(std::iter::once(Err(error))),
            };
        }
        let name = FileReader::uncompressed_name(&entry.path);
        if name.ends_with(".parquet") {
            return Box::new(std::iter::once(Err(DataError::CompressedParquet {
                path: entry.path.display().to_string(),
            })));
        }
        match FileReader::open(&entry.path) {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(reader) if name.ends_with(".jsonl") => Box::new(jsonl::JsonlFile::new(reader, &self.config.field)),
            Ok(reader) => Box::new(text::TextFile::new(reader)),
        }
    }

    /// Whether an item shows that its file is not text. Parquet files are never skipped: a column is declared as text.
    fn is_binary(entry: &FileEntry, item: &Result<Document, DataError>) -> bool {
        match item {
            _ if is_parquet(&entry.path) => false,
            Ok(document) => document.text.contains('\0'),
            Err(error) => matches!(error, DataError::InvalidUtf8 { .. } | DataError::CorruptFile { .. }),
        }
    }
}

/// Whether a path has the extension `.parquet`.
fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// Whether the size of a file differs from the size of its text.
fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["gz", "zst", "parquet"].iter().any(|known| extension == *known))
}

impl Source for FileSource {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        self.num_skipped.store(0, Ordering::Relaxed);
        Ok(Box::new(FileDocuments { source: self, remaining: self.entries.iter(), current: None }))
    }

    fn describe(&self) -> String {
        self.config.paths.join(", ")
    }

    fn size_bytes(&self) -> Option<u64> {
        let is_compressed = self.entries.iter().any(|entry| is_compressed(&entry.path));
        (!is_compressed).then(|| self.entries.iter().map(|entry| entry.size).sum())
    }

    fn num_skipped_files(&self) -> usize {
        self.num_skipped.load(Ordering::Relaxed)
    }
}

/// Iterator over the documents of all files, in order. It ends after an error.
struct FileDocuments<'a> {
    source: &'a FileSource,
    remaining: std::slice::Iter<'a, FileEntry>,
    /// The file that is being read.
    current: Option<(&'a FileEntry, Documents<'a>)>,
}

impl Iterator for FileDocuments<'_> {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (entry, documents) = match &mut self.current {
                Some(current) => current,
                None => {
                    let entry = self.remaining.next()?;
                    self.current.insert((entry, self.source.read_entry(entry)))
                }
            };
            match documents.next() {
                None => self.current = None,
                Some(item) if !entry.is_explicit && FileSource::is_binary(entry, &item) => {
                    self.source.num_skipped.fetch_add(1, Ordering::Relaxed);
                    self.current = None;
                }
                Some(Err(error)) => {
                    (self.current, self.remaining) = (None, [].iter());
                    return Some(Err(error));
                }
                Some(document) => return Some(document),
            }
        }
    }
}
