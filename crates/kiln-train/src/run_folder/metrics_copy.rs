//! Copies of the metrics in other formats, beside `metrics.jsonl`.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::metrics::{LogFormat, MetricsEncoder, MetricsRow};
use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, StorageFile, write_atomic};

/// Writer of a copy of the metrics.
///
/// The copy is made anew from the rows of `metrics.jsonl` when a run starts or resumes. It therefore never has a step twice or
/// an incomplete record, even if it was removed or damaged.
#[derive(Debug)]
pub struct MetricsCopy {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    encoder: Box<dyn MetricsEncoder>,
    file: Box<dyn StorageFile>,
}

impl MetricsCopy {
    /// Writes the copy of `rows` into the run folder `root`. `now` is the Unix time in seconds.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn create(
        storage: Arc<dyn Storage>,
        format: LogFormat,
        root: &Path,
        rows: &[MetricsRow],
        now: f64,
    ) -> Result<Self, RunFolderError> {
        let path = root.join(format.file_name());
        let mut encoder = format.encoder(&storage.read_or_empty(&path)?, now);
        let file = write_and_open(&*storage, &path, &encoder.encode_file(rows))?;
        Ok(Self { storage, path, encoder, file })
    }

    /// Appends a row. `read_rows` reads all rows, `row` included, for a file that must be written anew.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(
        &mut self,
        row: &MetricsRow,
        read_rows: impl FnOnce() -> Result<Vec<MetricsRow>, RunFolderError>,
    ) -> Result<(), RunFolderError> {
        match self.encoder.encode_row(row) {
            Some(bytes) => {
                let written = self.file.append(&bytes);
                written.map_err(|source| RunFolderError::from_io("write", &self.path, source))
            }
            None => {
                self.file = write_and_open(&*self.storage, &self.path, &self.encoder.encode_file(&read_rows()?))?;
                Ok(())
            }
        }
    }

    /// Flushes the rows to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sync(&self) -> Result<(), RunFolderError> {
        self.file.sync().map_err(|source| RunFolderError::from_io("write", &self.path, source))
    }
}

/// Replaces a file, and opens it to append to it.
fn write_and_open(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<Box<dyn StorageFile>, RunFolderError> {
    write_atomic(storage, path, bytes)?;
    storage.open_append(path).map_err(|source| RunFolderError::from_io("open", path, source))
}

#[cfg(all(test, feature = "files"))]
mod tests;
