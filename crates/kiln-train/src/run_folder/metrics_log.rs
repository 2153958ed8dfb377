//! The metrics file of a run: complete lines, in the order of the run.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::metrics_copy::MetricsCopy;
use super::write_atomic;
use crate::metrics::{self, LogFormat, MetricsParseError, MetricsRow};
use crate::run_folder_error::RunFolderError;

/// Writer of `metrics.jsonl`.
///
/// The rows of a step are written before the checkpoint of that step. After a crash the file can have rows of later steps
/// than the last checkpoint. The resumed run repeats these steps, and [`truncate_after`](Self::truncate_after) removes the
/// rows.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    copies: Vec<MetricsCopy>,
}

impl MetricsLog {
    /// Creates an empty file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, RunFolderError> {
        write_atomic(path, b"")?;
        Self::open_append(path)
    }

    /// Opens a file to append to it, and removes the rows after `step` and an incomplete last line. All other lines keep
    /// their bytes. A missing file is created.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be written.
    pub fn truncate_after(path: &Path, step: u64) -> Result<Self, RunFolderError> {
        Self::retain(path, |row| row.step() <= step)
    }

    /// Opens the file of a run without checkpoints to append to it. Only events before the first step are kept.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be written.
    pub fn truncate_to_events(path: &Path) -> Result<Self, RunFolderError> {
        Self::retain(path, |row| row.step() == 0 && matches!(row, MetricsRow::Event(_)))
    }

    /// Opens a file to append to it, and removes the rows for which `keep` is false.
    fn retain(path: &Path, keep: impl Fn(&MetricsRow) -> bool) -> Result<Self, RunFolderError> {
        let bytes = read_or_empty(path)?;
        let mut retained = Vec::with_capacity(bytes.len());
        for (row, line) in metrics::parse_lines(&bytes).map_err(|error| with_path(path, error))? {
            if keep(&row) {
                retained.extend_from_slice(line);
                retained.push(b'\n');
            }
        }
        if retained != bytes {
            write_atomic(path, &retained)?;
        }
        Self::open_append(path)
    }

    fn open_append(path: &Path) -> Result<Self, RunFolderError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| RunFolderError::from_io("open", path, source))?;
        Ok(Self { path: path.to_owned(), file, copies: Vec::new() })
    }

    /// Writes the rows in further formats too, into files beside this one. Each file is made anew from the rows so far.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn with_copies(mut self, formats: &[LogFormat]) -> Result<Self, RunFolderError> {
        let rows = if formats.is_empty() { Vec::new() } else { Self::read(&self.path)? };
        let root = self.path.parent().unwrap_or(Path::new(""));
        let copies = formats.iter().map(|format| MetricsCopy::create(*format, root, &rows));
        self.copies = copies.collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Appends a row. If that fails, no part of the row is left in the file.
    ///
    /// # Errors
    /// If the file or one of its copies cannot be written.
    pub fn append(&mut self, row: &MetricsRow) -> Result<(), RunFolderError> {
        self.append_bytes(row.to_json_line().as_bytes())
            .map_err(|source| RunFolderError::from_io("write", &self.path, source))?;
        self.copies.iter_mut().try_for_each(|copy| copy.append(row, || Self::read(&self.path)))
    }

    fn append_bytes(&mut self, line: &[u8]) -> io::Result<()> {
        let length_before = self.file.metadata()?.len();
        self.file.write_all(line).inspect_err(|_| {
            let _ = self.file.set_len(length_before);
        })
    }

    /// Flushes the rows to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sync(&self) -> Result<(), RunFolderError> {
        self.file.sync_all().map_err(|source| RunFolderError::from_io("write", &self.path, source))?;
        self.copies.iter().try_for_each(MetricsCopy::sync)
    }

    /// The rows of a file, without an incomplete last line. A missing file has none.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<MetricsRow>, RunFolderError> {
        metrics::parse(&read_or_empty(path)?).map_err(|error| with_path(path, error))
    }
}

/// The bytes of a file; none if it is missing.
pub(super) fn read_or_empty(path: &Path) -> Result<Vec<u8>, RunFolderError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| RunFolderError::from_io("read", path, source)),
    }
}

/// The parse error with the path of the file.
fn with_path(path: &Path, error: MetricsParseError) -> RunFolderError {
    RunFolderError::InvalidMetrics { path: path.to_owned(), line: error.line, found: error.found }
}

#[cfg(test)]
mod tests;
