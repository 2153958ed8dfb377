//! Text files, folders of them, `.jsonl` files, each also as `.gz` or `.zst`, and `.parquet` files, read as a stream.

mod jsonl;
mod open;
mod pages;
mod parquet;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use super::{Document, Documents, Source};
use crate::{DataError, FilesConfig};
use open::Bytes;
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use walk::Entry;

/// Files to read.
#[derive(Debug)]
pub struct Files {
    config: FilesConfig,
    entries: Vec<Entry>,
    skipped: AtomicUsize,
}

impl Files {
    /// Looks up the paths, folders with all that is below them.
    pub fn open(config: &FilesConfig) -> Result<Self, DataError> {
        let entries = walk::entries(config)?;
        let files = Self { config: config.clone(), entries, skipped: AtomicUsize::new(0) };
        if files.entries.is_empty() {
            return Err(DataError::Empty { origin: files.describe() });
        }
        Ok(files)
    }

    /// Number of files, those without text included.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    fn read<'a>(&'a self, entry: &'a Entry) -> Documents<'a> {
        if is_table(&entry.path) {
            return match parquet::ParquetFile::open(&entry.path, &self.config.field) {
                Ok(file) => Box::new(file),
                Err(error) => Box::new(std::iter::once(Err(error))),
            };
        }
        let plain = Bytes::plain(&entry.path);
        if plain.ends_with(".parquet") {
            return Box::new(std::iter::once(Err(DataError::Packed { path: entry.path.display().to_string() })));
        }
        match Bytes::open(&entry.path) {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(bytes) if plain.ends_with(".jsonl") => Box::new(jsonl::Jsonl::new(bytes, &self.config.field)),
            Ok(bytes) => Box::new(text::TextFile::new(bytes)),
        }
    }

    /// Whether this shows that a file in a folder is not text. A table says itself which of its columns is.
    fn is_binary(entry: &Entry, found: &Result<Document, DataError>) -> bool {
        match found {
            _ if is_table(&entry.path) => false,
            Ok(document) => document.text.contains('\0'),
            Err(error) => matches!(error, DataError::NotText { .. } | DataError::Archive { .. }),
        }
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
}

impl Source for Files {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        self.skipped.store(0, Ordering::Relaxed);
        Ok(Box::new(Reading { files: self, left: self.entries.iter(), now: None }))
    }

    fn describe(&self) -> String {
        self.config.paths.join(", ")
    }

    fn bytes(&self) -> Option<u64> {
        let packed = ["gz", "zst", "parquet"];
        let plain = |entry: &&Entry| !entry.path.extension().is_some_and(|ending| packed.iter().any(|p| ending == *p));
        let all_plain = self.entries.iter().all(|entry| plain(&entry));
        all_plain.then(|| self.entries.iter().map(|entry| entry.size).sum())
    }

    fn skipped(&self) -> usize {
        self.skipped.load(Ordering::Relaxed)
    }
}

/// One file after the other; nothing more comes after an error.
struct Reading<'a> {
    files: &'a Files,
    left: std::slice::Iter<'a, Entry>,
    now: Option<(&'a Entry, Documents<'a>)>,
}

impl Iterator for Reading<'_> {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (entry, documents) = match &mut self.now {
                Some(now) => now,
                None => {
                    let entry = self.left.next()?;
                    self.now.insert((entry, self.files.read(entry)))
                }
            };
            match documents.next() {
                None => self.now = None,
                Some(found) if !entry.named && Files::is_binary(entry, &found) => {
                    self.files.skipped.fetch_add(1, Ordering::Relaxed);
                    self.now = None;
                }
                Some(Err(error)) => {
                    (self.now, self.left) = (None, [].iter());
                    return Some(Err(error));
                }
                Some(document) => return Some(document),
            }
        }
    }
}
