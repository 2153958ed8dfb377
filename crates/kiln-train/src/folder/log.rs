//! The file of metrics: whole lines, in the order of the run.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::write_atomic;
use crate::error::RunError;
use crate::metrics::{self, BadLine, Row};

/// Writes `metrics.jsonl`.
///
/// Rows of a step are written before the checkpoint of that step: what a crash leaves after the checkpoint is then
/// repeated by the resumed run, and dropped here by [`truncate_after`](Self::truncate_after).
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Starts an empty file.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        write_atomic(path, b"")?;
        Self::append_to(path)
    }

    /// Goes on with a file, of which rows after `step` and a torn last line are dropped first; every other line stays
    /// as it is. A missing file is an empty one.
    pub fn truncate_after(path: &Path, step: u64) -> Result<Self, RunError> {
        Self::keep(path, |row| row.step() <= step)
    }

    /// Goes on with a file of a run that saved nothing: events alone are kept.
    pub fn truncate_before_first(path: &Path) -> Result<Self, RunError> {
        Self::keep(path, |row| row.step() == 0 && matches!(row, Row::Event(_)))
    }

    fn keep(path: &Path, stays: impl Fn(&Row) -> bool) -> Result<Self, RunError> {
        let bytes = bytes(path)?;
        let mut kept = Vec::with_capacity(bytes.len());
        for (row, line) in metrics::lines(&bytes).map_err(|bad| located(path, bad))? {
            if stays(&row) {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        if kept != bytes {
            write_atomic(path, &kept)?;
        }
        Self::append_to(path)
    }

    fn append_to(path: &Path) -> Result<Self, RunError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| RunError::io("open", path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a row. If that fails, nothing of it stays.
    pub fn append(&mut self, row: &Row) -> Result<(), RunError> {
        self.put(row.to_line().as_bytes()).map_err(|source| RunError::io("write", &self.path, source))
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        self.file.write_all(line).inspect_err(|_| {
            let _ = self.file.set_len(before);
        })
    }

    /// Forces the rows to the disk.
    pub fn sync(&self) -> Result<(), RunError> {
        self.file.sync_all().map_err(|source| RunError::io("write", &self.path, source))
    }

    /// The rows of a file, without a torn last line; a missing file has none.
    pub fn read(path: &Path) -> Result<Vec<Row>, RunError> {
        metrics::parse(&bytes(path)?).map_err(|bad| located(path, bad))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, RunError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| RunError::io("read", path, source)),
    }
}

fn located(path: &Path, bad: BadLine) -> RunError {
    RunError::Metrics { path: path.to_owned(), line: bad.line, found: bad.found }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
