//! The metrics file of a run: complete lines, in the order of the run.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metrics_copy::MetricsCopy;
use crate::metrics::{self, LogFormat, MetricsParseError, MetricsRow};
use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, StorageFile, write_atomic};

/// Writer of `metrics.jsonl`.
///
/// The rows of a step are written before the checkpoint of that step. After a crash the file can have rows of later steps
/// than the last checkpoint. The resumed run repeats these steps, and [`truncate_after`](Self::truncate_after) removes the
/// rows.
#[derive(Debug)]
pub struct MetricsLog {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    copies: Vec<MetricsCopy>,
}

/// The metrics file of a run in a storage.
pub(crate) struct MetricsFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl MetricsFile {
    pub fn new(storage: Arc<dyn Storage>, path: PathBuf) -> Self {
        Self { storage, path }
    }

    /// Opens the file to append to it, and removes the rows for which `keep` is false and an incomplete last line. All other
    /// lines keep their bytes. A missing file is created.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be written.
    pub fn retain(self, keep: impl Fn(&MetricsRow) -> bool) -> Result<MetricsLog, RunFolderError> {
        let Self { storage, path } = self;
        let bytes = storage.read_or_empty(&path)?;
        let mut retained = Vec::with_capacity(bytes.len());
        for (row, line) in metrics::parse_lines(&bytes).map_err(|error| with_path(&path, error))? {
            if keep(&row) {
                retained.extend_from_slice(line);
                retained.push(b'\n');
            }
        }
        if retained != bytes {
            write_atomic(&*storage, &path, &retained)?;
        }
        let file = storage.open_append(&path).map_err(|source| RunFolderError::from_io("open", &path, source))?;
        Ok(MetricsLog { storage, path, file, copies: Vec::new() })
    }

    /// The rows of the file, without an incomplete last line. A missing file has none.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be read.
    pub fn read(&self) -> Result<Vec<MetricsRow>, RunFolderError> {
        read_rows(&*self.storage, &self.path)
    }
}

/// The rows of a file, without an incomplete last line. A missing file has none.
fn read_rows(storage: &dyn Storage, path: &Path) -> Result<Vec<MetricsRow>, RunFolderError> {
    metrics::parse(&storage.read_or_empty(path)?).map_err(|error| with_path(path, error))
}

/// Metrics files on disk.
#[cfg(feature = "files")]
impl MetricsLog {
    /// Creates an empty file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, RunFolderError> {
        super::write_atomic(path, b"")?;
        Self::on_disk(path).retain(|_| true)
    }

    /// Opens a file to append to it, and removes the rows after `step` and an incomplete last line. All other lines keep
    /// their bytes. A missing file is created.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be written.
    pub fn truncate_after(path: &Path, step: u64) -> Result<Self, RunFolderError> {
        Self::on_disk(path).retain(|row| row.step() <= step)
    }

    /// Opens the file of a run without checkpoints to append to it. Only events before the first step are kept.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be written.
    pub fn truncate_to_events(path: &Path) -> Result<Self, RunFolderError> {
        Self::on_disk(path).retain(is_early_event)
    }

    /// The rows of a file, without an incomplete last line. A missing file has none.
    ///
    /// # Errors
    /// If a line is not a valid row, or the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<MetricsRow>, RunFolderError> {
        Self::on_disk(path).read()
    }

    fn on_disk(path: &Path) -> MetricsFile {
        MetricsFile::new(crate::storage::DiskStorage::shared(), path.to_owned())
    }
}

/// Whether a row is an event before the first step.
pub(crate) fn is_early_event(row: &MetricsRow) -> bool {
    row.step() == 0 && matches!(row, MetricsRow::Event(_))
}

impl MetricsLog {
    /// Writes the rows in further formats too, into files beside this one. Each file is made anew from the rows so far. `now`
    /// is the Unix time in seconds.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn with_copies(mut self, formats: &[LogFormat], now: f64) -> Result<Self, RunFolderError> {
        let rows = if formats.is_empty() { Vec::new() } else { read_rows(&*self.storage, &self.path)? };
        let root = self.path.parent().unwrap_or(Path::new(""));
        let copies = formats.iter().map(|format| MetricsCopy::create(self.storage.clone(), *format, root, &rows, now));
        self.copies = copies.collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Appends a row. If that fails, no part of the row is left in the file.
    ///
    /// # Errors
    /// If the file or one of its copies cannot be written.
    pub fn append(&mut self, row: &MetricsRow) -> Result<(), RunFolderError> {
        self.file
            .append(row.to_json_line().as_bytes())
            .map_err(|source| RunFolderError::from_io("write", &self.path, source))?;
        let (storage, path) = (&*self.storage, &self.path);
        self.copies.iter_mut().try_for_each(|copy| copy.append(row, || read_rows(storage, path)))
    }

    /// Makes the rows durable.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sync(&self) -> Result<(), RunFolderError> {
        self.file.sync().map_err(|source| RunFolderError::from_io("write", &self.path, source))?;
        self.copies.iter().try_for_each(MetricsCopy::sync)
    }
}

/// The parse error with the path of the file.
fn with_path(path: &Path, error: MetricsParseError) -> RunFolderError {
    RunFolderError::InvalidMetrics { path: path.to_owned(), line: error.line, found: error.found }
}

#[cfg(all(test, feature = "files"))]
mod tests;
