//! Copies of the metrics in other formats, beside `metrics.jsonl`.
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::metrics_log::read_or_empty;
use super::write_atomic;
use crate::metrics::{LogFormat, MetricsEncoder, MetricsRow};
use crate::run_folder_error::RunFolderError;

/// Writer of a copy of the metrics.
///
/// The copy is made anew from the rows of `metrics.jsonl` when a run starts or resumes. It therefore never has a step twice or
/// an incomplete record, even if it was removed or damaged.
#[derive(Debug)]
pub struct MetricsCopy {
    path: PathBuf,
    encoder: Box<dyn MetricsEncoder>,
    file: File,
}

impl MetricsCopy {
    /// Writes the copy of `rows` into the run folder `root`.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn create(format: LogFormat, root: &Path, rows: &[MetricsRow]) -> Result<Self, RunFolderError> {
        let path = root.join(format.file_name());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let mut encoder = format.encoder(&read_or_empty(&path)?, now);
        let file = write_and_open(&path, &encoder.encode_file(rows))?;
        Ok(Self { path, encoder, file })
    }

    /// Appends a row. `read_rows` reads all rows, `row` included, for a file that must be written anew.
    ///
    /// # Errors
    /// If the file cannot be written. Part of the row can be left in it: the next resume removes that.
    pub fn append(
        &mut self,
        row: &MetricsRow,
        read_rows: impl FnOnce() -> Result<Vec<MetricsRow>, RunFolderError>,
    ) -> Result<(), RunFolderError> {
        match self.encoder.encode_row(row) {
            Some(bytes) => {
                let written = self.file.write_all(&bytes);
                written.map_err(|source| RunFolderError::from_io("write", &self.path, source))
            }
            None => {
                self.file = write_and_open(&self.path, &self.encoder.encode_file(&read_rows()?))?;
                Ok(())
            }
        }
    }

    /// Flushes the rows to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sync(&self) -> Result<(), RunFolderError> {
        self.file.sync_all().map_err(|source| RunFolderError::from_io("write", &self.path, source))
    }
}

/// Replaces a file, and opens it to append to it.
fn write_and_open(path: &Path, bytes: &[u8]) -> Result<File, RunFolderError> {
    write_atomic(path, bytes)?;
    let file = OpenOptions::new().append(true).open(path);
    file.map_err(|source| RunFolderError::from_io("open", path, source))
}

#[cfg(test)]
mod tests;
