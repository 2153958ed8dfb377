//! Anonymous temporary file for tokens that exceed the memory budget.

use crate::DataError;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Append-only temporary file with random-access reads.
///
/// The file is removed by the operating system when it is closed, also after a crash.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    /// A seek and the following read must not interleave with those of another thread.
    file: Mutex<File>,
    /// Bytes written.
    len: u64,
    /// Folder of the file, for error messages.
    folder: PathBuf,
}

impl ScratchFile {
    /// Creates an empty file in `folder`.
    pub fn create(folder: &Path) -> Result<Self, DataError> {
        let file = tempfile::tempfile_in(folder).map_err(io_error(folder, "create a scratch file"))?;
        Ok(Self { file: Mutex::new(file), len: 0, folder: folder.into() })
    }

    /// Returns the size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Appends `bytes`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let file = self.file.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = file.seek(SeekFrom::Start(self.len)).and_then(|_| file.write_all(bytes));
        result.map_err(io_error(&self.folder, "write a scratch file"))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Fills `bytes` from byte `offset` on.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes));
        result.map_err(io_error(&self.folder, "read a scratch file"))
    }
}

/// Adapter for `map_err` that adds the folder and the attempted action.
fn io_error(folder: &Path, action: &'static str) -> impl Fn(std::io::Error) -> DataError {
    let path = folder.display().to_string();
    move |error| DataError::Io { path: path.clone(), action, reason: error.to_string() }
}
