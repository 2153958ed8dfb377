//! Iterator over the documents of all files of a source.

use super::{
    FileSource,
    entry::FileEntry,
    open::{OpenFile, open_file},
};
use crate::{
    DataError,
    source::{Document, Documents, report::FileFormat},
};
use std::slice::Iter;

/// Iterator over the documents of all files, in order. It ends after an error. Bad rows are left out and reported if the
/// configuration says so.
pub(super) struct FileDocuments<'a> {
    source: &'a FileSource,
    remaining: Iter<'a, FileEntry>,
    current: Option<CurrentFile<'a>>,
}

/// File that is being read.
struct CurrentFile<'a> {
    documents: Documents<'a>,
    /// Format and field, for the report.
    key: (FileFormat, Option<String>),
}

impl<'a> FileDocuments<'a> {
    /// Documents of `source` from its first file on.
    pub fn new(source: &'a FileSource) -> Self {
        Self { source, remaining: source.files.entries.iter(), current: None }
    }

    /// Next document; `None` at the end of the last file.
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            let Some(file) = &mut self.current else {
                let Some(entry) = self.remaining.next() else { return Ok(None) };
                self.open(entry)?;
                continue;
            };
            match file.documents.next() {
                None => self.current = None,
                Some(Ok(document)) => {
                    if !document.is_continuation {
                        self.source.update_report(|report| *report.documents.entry(file.key.clone()).or_default() += 1);
                    }
                    return Ok(Some(document));
                }
                Some(Err(error)) => self.source.skip_or_return(error)?,
            }
        }
    }

    /// Opens the next file, or skips it.
    fn open(&mut self, entry: &FileEntry) -> Result<(), DataError> {
        match open_file(entry, &self.source.config.field) {
            Ok(OpenFile::Documents { documents, format, field }) => {
                self.current = Some(CurrentFile { documents, key: (format, field) });
            }
            Ok(OpenFile::Skipped(error)) => self.source.update_report(|report| report.skipped_files.add(&error)),
            Err(error) => self.source.skip_or_return(error)?,
        }
        Ok(())
    }
}

impl Iterator for FileDocuments<'_> {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let document = self.next_document();
        if document.is_err() {
            (self.current, self.remaining) = (None, [].iter());
        }
        document.transpose()
    }
}
