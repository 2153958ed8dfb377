//! A nameless file for what does not fit into memory.

use crate::DataError;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: Mutex<File>,
    len: u64,
    folder: PathBuf,
}

impl ScratchFile {
    pub fn create(folder: &Path) -> Result<Self, DataError> {
        let file = tempfile::tempfile_in(folder).map_err(io_error(folder, "create a scratch file"))?;
        Ok(Self { file: Mutex::new(file), len: 0, folder: folder.into() })
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let file = self.file.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let done = file.seek(SeekFrom::Start(self.len)).and_then(|_| file.write_all(bytes));
        done.map_err(io_error(&self.folder, "write a scratch file"))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(bytes));
        done.map_err(io_error(&self.folder, "read a scratch file"))
    }
}

fn io_error(folder: &Path, action: &'static str) -> impl Fn(std::io::Error) -> DataError {
    let path = folder.display().to_string();
    move |error| DataError::Io { path: path.clone(), action, reason: error.to_string() }
}
