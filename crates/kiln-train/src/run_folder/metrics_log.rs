//! The file of metrics: whole lines, in the order of the run.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::write_atomic;
use crate::metrics::{self, MetricsParseError, MetricsRow};
use crate::run_folder_error::RunFolderError;

/// Writes `metrics.jsonl`.
///
/// Rows of a step are written before the checkpoint of that step: what a crash leaves after the checkpoint is then
/// repeated by the resumed run, and dropped here by [`truncate_after`](Self::truncate_after).
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Starts an empty file.
    pub fn create(path: &Path) -> Result<Self, RunFolderError> {
        write_atomic(path, b"")?;
        Self::open_append(path)
    }

    /// Goes on with a file, of which rows after `step` and a torn last line are dropped first; every other line stays
    /// as it is. A missing file is an empty one.
    pub fn truncate_after(path: &Path, step: u64) -> Result<Self, RunFolderError> {
        Self::retain(path, |row| row.step() <= step)
    }

    /// Goes on with a file of a run that saved nothing: events alone are kept.
    pub fn truncate_to_events(path: &Path) -> Result<Self, RunFolderError> {
        Self::retain(path, |row| row.step() == 0 && matches!(row, MetricsRow::Event(_)))
    }

    fn retain(path: &Path, stays: impl Fn(&MetricsRow) -> bool) -> Result<Self, RunFolderError> {
        let bytes = read_or_empty(path)?;
        let mut kept = Vec::with_capacity(bytes.len());
        for (row, line) in metrics::parse_lines(&bytes).map_err(|bad| with_path(path, bad))? {
            if stays(&row) {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        if kept != bytes {
            write_atomic(path, &kept)?;
        }
        Self::open_append(path)
    }

    fn open_append(path: &Path) -> Result<Self, RunFolderError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| RunFolderError::from_io("open", path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a row. If that fails, nothing of it stays.
    pub fn append(&mut self, row: &MetricsRow) -> Result<(), RunFolderError> {
        self.append_bytes(row.to_json_line().as_bytes())
            .map_err(|source| RunFolderError::from_io("write", &self.path, source))
    }

    fn append_bytes(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        self.file.write_all(line).inspect_err(|_| {
            let _ = self.file.set_len(before);
        })
    }

    /// Forces the rows to the disk.
    pub fn sync(&self) -> Result<(), RunFolderError> {
        self.file.sync_all().map_err(|source| RunFolderError::from_io("write", &self.path, source))
    }

    /// The rows of a file, without a torn last line; a missing file has none.
    pub fn read(path: &Path) -> Result<Vec<MetricsRow>, RunFolderError> {
        metrics::parse(&read_or_empty(path)?).map_err(|bad| with_path(path, bad))
    }
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>, RunFolderError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| RunFolderError::from_io("read", path, source)),
    }
}

fn with_path(path: &Path, bad: MetricsParseError) -> RunFolderError {
    RunFolderError::InvalidMetrics { path: path.to_owned(), line: bad.line, found: bad.found }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
