//! Text files, folders of them, `.jsonl` files, each also as `.gz` or `.zst`, and `.parquet` files, read as a stream.

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

/// Files to read.
#[derive(Debug)]
pub struct FileSource {
    config: FilesConfig,
    entries: Vec<FileEntry>,
    num_skipped: AtomicUsize,
}

impl FileSource {
    /// Looks up the paths, folders with all that is below them.
    pub fn open(config: &FilesConfig) -> Result<Self, DataError> {
        let entries = walk::list_files(config)?;
        let files = Self { config: config.clone(), entries, num_skipped: AtomicUsize::new(0) };
        if files.entries.is_empty() {
            return Err(DataError::NoText { origin: files.describe() });
        }
        Ok(files)
    }

    /// Number of files, those without text included.
    pub fn num_files(&self) -> usize {
        self.entries.len()
    }

    fn read_entry<'a>(&'a self, entry: &'a FileEntry) -> Documents<'a> {
        if is_parquet(&entry.path) {
            return match parquet::ParquetFile::open(&entry.path, &self.config.field) {
                Ok(file) => Box::new(file),
                Err(error) => Box::new(std::iter::once(Err(error))),
            };
        }
        let plain = FileReader::uncompressed_name(&entry.path);
        if plain.ends_with(".parquet") {
            return Box::new(std::iter::once(Err(DataError::CompressedParquet {
                path: entry.path.display().to_string(),
            })));
        }
        match FileReader::open(&entry.path) {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(bytes) if plain.ends_with(".jsonl") => Box::new(jsonl::JsonlFile::new(bytes, &self.config.field)),
            Ok(bytes) => Box::new(text::TextFile::new(bytes)),
        }
    }

    /// Whether this shows that a file in a folder is not text. A table says itself which of its columns is.
    fn is_binary(entry: &FileEntry, found: &Result<Document, DataError>) -> bool {
        match found {
            _ if is_parquet(&entry.path) => false,
            Ok(document) => document.text.contains('\0'),
            Err(error) => matches!(error, DataError::InvalidUtf8 { .. } | DataError::CorruptFile { .. }),
        }
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
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
        let packed = ["gz", "zst", "parquet"];
        let plain =
            |entry: &&FileEntry| !entry.path.extension().is_some_and(|ending| packed.iter().any(|p| ending == *p));
        let all_plain = self.entries.iter().all(|entry| plain(&entry));
        all_plain.then(|| self.entries.iter().map(|entry| entry.size).sum())
    }

    fn num_skipped_files(&self) -> usize {
        self.num_skipped.load(Ordering::Relaxed)
    }
}

/// One file after the other; nothing more comes after an error.
struct FileDocuments<'a> {
    source: &'a FileSource,
    remaining: std::slice::Iter<'a, FileEntry>,
    current: Option<(&'a FileEntry, Documents<'a>)>,
}

impl Iterator for FileDocuments<'_> {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (entry, documents) = match &mut self.current {
                Some(now) => now,
                None => {
                    let entry = self.remaining.next()?;
                    self.current.insert((entry, self.source.read_entry(entry)))
                }
            };
            match documents.next() {
                None => self.current = None,
                Some(found) if !entry.is_explicit && FileSource::is_binary(entry, &found) => {
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
