//! Examples from files and folders.

use super::{ExampleSource, Examples, LocatedExample, check, detect::sample_rows};
use crate::{
    DataError, FilesConfig, StopSignal,
    example::{ExampleFormat, format::FormatEntry},
    source::{
        files::{
            entry::{FileEntry, FileList, FileLocation},
            open_fields::{OpenRows, open_rows},
            rows::{Fields, Rows},
        },
        report::{FileFormat, ReadReport},
    },
};
use std::{
    slice::Iter,
    sync::{Mutex, PoisonError},
};

/// Files and folders whose rows are examples of one format.
pub struct ExampleFiles {
    pub(super) config: FilesConfig,
    pub(super) entry: &'static FormatEntry,
    pub(super) files: FileList,
    report: Mutex<ReadReport>,
}

impl ExampleFiles {
    /// Lists the files of the configured paths, whose rows have the given format.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`] or [`DataError::NotAFile`] for a path, [`DataError::NoText`] if there is no file, and
    /// [`DataError::Config`] for a format of plain text.
    #[cfg(feature = "files")]
    pub fn open(config: &FilesConfig, format: ExampleFormat) -> Result<Self, DataError> {
        Self::open_at(config, format, FileLocation::Disk)
    }

    /// Lists the files of the configured paths at a location, whose rows have the given format.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn open_at(
        config: &FilesConfig,
        format: ExampleFormat,
        location: FileLocation,
    ) -> Result<Self, DataError> {
        let Some(entry) = format.entry() else {
            let expected = "a format of examples with several fields".into();
            return Err(DataError::Config { key: "data.format", found: format.to_string(), expected });
        };
        let files = location.list_files(config)?;
        let source = Self { config: config.clone(), entry, files, report: Mutex::default() };
        if source.files.entries.is_empty() {
            return Err(DataError::NoText { origin: source.describe() });
        }
        Ok(source)
    }

    /// Changes the report of the current pass.
    pub(super) fn update_report(&self, update: impl FnOnce(&mut ReadReport)) {
        update(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The rows of a file; `None` for one in a folder that is left out.
    pub(super) fn open_file(&self, entry: &FileEntry) -> Result<Option<(Rows<Fields>, FileFormat)>, DataError> {
        let columns = self.entry.columns;
        let skipped = match open_rows(entry, &|name| columns.contains(&name))? {
            OpenRows::Rows(rows, format) => match self.has_fields(entry, rows) {
                Ok(rows) => return Ok(Some((rows, format))),
                Err(error) => error,
            },
            OpenRows::PlainText => {
                let expected = format!("rows of the format {} ({})", self.entry.format, self.entry.fields);
                DataError::NoRows { path: entry.path.display().to_string(), expected }
            }
            OpenRows::Skipped(error) => error,
        };
        if entry.is_explicit {
            return Err(skipped);
        }
        self.update_report(|report| report.skipped_files.add(&skipped));
        Ok(None)
    }

    /// The rows of a file, unless it is a `.json` file in a folder whose first rows lack the fields, such as `package.json`.
    fn has_fields(&self, entry: &FileEntry, mut rows: Rows<Fields>) -> Result<Rows<Fields>, DataError> {
        let is_json = entry.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if entry.is_explicit || !is_json {
            return Ok(rows);
        }
        let (sample, first) = sample_rows(&mut rows);
        if !(self.entry.matches)(&sample) {
            let expected = format!("rows of the format {} ({})", self.entry.format, self.entry.fields);
            return Err(DataError::NoRows { path: entry.path.display().to_string(), expected });
        }
        Ok(Box::new(first.into_iter().chain(rows)))
    }

    /// The example of a row.
    pub(super) fn convert(&self, path: &str, line: u64, row: &Fields) -> Result<LocatedExample, DataError> {
        match (self.entry.convert)(row) {
            Ok(example) => Ok(LocatedExample { example, path: path.into(), line }),
            Err(problem) => {
                Err(DataError::BadExample { path: path.into(), line, reason: problem.reason, help: problem.help })
            }
        }
    }
}

impl ExampleSource for ExampleFiles {
    fn examples(&self) -> Result<Examples<'_>, DataError> {
        self.update_report(|report| {
            *report = ReadReport { example_format: Some(self.entry.format), ..ReadReport::default() };
            self.files.dangling.iter().for_each(|error| report.skipped_files.add(error));
        });
        Ok(Box::new(FileExamples { source: self, remaining: self.files.entries.iter(), current: None }))
    }

    fn describe(&self) -> String {
        self.config.paths.join(", ")
    }

    fn check(
        &self,
        stop: StopSignal,
        check_example: &dyn Fn(&LocatedExample) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        check::check_files(self, stop, check_example)
    }

    fn skip_or_return(&self, error: DataError) -> Result<(), DataError> {
        if !self.config.skip_bad_rows || !error.is_bad_row() {
            return Err(error);
        }
        self.update_report(|report| report.bad_rows.add(&error));
        Ok(())
    }

    fn report(&self) -> ReadReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Iterator over the examples of all files, in order. It ends after an error.
struct FileExamples<'a> {
    source: &'a ExampleFiles,
    remaining: Iter<'a, FileEntry>,
    current: Option<(String, Rows<Fields>, FileFormat)>,
}

impl FileExamples<'_> {
    /// Next example; `None` at the end of the last file.
    fn next_example(&mut self) -> Result<Option<LocatedExample>, DataError> {
        loop {
            let Some((path, rows, format)) = &mut self.current else {
                let Some(entry) = self.remaining.next() else { return Ok(None) };
                let opened = self.source.open_file(entry)?;
                self.current = opened.map(|(rows, format)| (entry.path.display().to_string(), rows, format));
                continue;
            };
            let converted = match rows.next() {
                None => {
                    self.current = None;
                    continue;
                }
                Some(row) => row.and_then(|row| self.source.convert(path, row.number, &row.value)),
            };
            match converted {
                Ok(example) => {
                    let key = (*format, None);
                    self.source.update_report(|report| *report.documents.entry(key).or_default() += 1);
                    return Ok(Some(example));
                }
                Err(error) => self.source.skip_or_return(error)?,
            }
        }
    }
}

impl Iterator for FileExamples<'_> {
    type Item = Result<LocatedExample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let example = self.next_example();
        if example.is_err() {
            (self.current, self.remaining) = (None, [].iter());
        }
        example.transpose()
    }
}
