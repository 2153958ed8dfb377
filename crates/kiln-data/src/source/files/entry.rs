//! Files of a source: in the file system, or in memory.

use crate::{DataError, FilesConfig};
use std::{
    fmt,
    io::{self, Cursor, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reads a file that is not in the file system, by its path.
pub type ReadFile<'a> = &'a (dyn Fn(&Path) -> io::Result<Arc<Vec<u8>>> + Send + Sync);

/// File of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub path: PathBuf,
    /// Size in bytes, as stored.
    pub size: u64,
    /// Whether the path was configured itself. Then the file must be text; files in folders may be skipped.
    pub is_explicit: bool,
    /// Contents of a file in memory; `None` for one in the file system.
    pub contents: Option<FileContents>,
}

/// Contents of a file in memory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FileContents(Arc<Vec<u8>>);

impl AsRef<[u8]> for FileContents {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FileContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// An open file.
pub(super) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

impl FileEntry {
    /// Opens the file.
    pub(super) fn open(&self) -> Result<Box<dyn ReadSeek>, DataError> {
        match &self.contents {
            Some(contents) => Ok(Box::new(Cursor::new(contents.clone()))),
            None => open_on_disk(&self.path),
        }
    }

    /// The error of a file in memory in a format that is read from a disk only.
    pub(super) fn refuse(&self, found: &'static str, help: &'static str) -> DataError {
        DataError::UnsupportedFile { path: self.path.display().to_string(), found, help, is_text: false }
    }
}

#[cfg(feature = "files")]
use super::walk::open_on_disk;

/// Without the feature `files`, all files are in memory.
#[cfg(not(feature = "files"))]
fn open_on_disk(path: &Path) -> Result<Box<dyn ReadSeek>, DataError> {
    Err(io_error(path, "open the file")(io::ErrorKind::Unsupported.into()))
}

/// Files of a source.
#[derive(Debug, Default)]
pub(crate) struct FileList {
    pub entries: Vec<FileEntry>,
    /// Links in folders that lead nowhere.
    pub dangling: Vec<DataError>,
}

/// Where the files of a source are.
#[derive(Clone, Copy)]
pub(crate) enum FileLocation<'a> {
    /// In the file system.
    #[cfg(feature = "files")]
    Disk,
    /// In memory: each path of the configuration is that of a file.
    Memory(ReadFile<'a>),
}

impl FileLocation<'_> {
    /// The files of a configuration, in order.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`] or [`DataError::NotAFile`] for a path, and I/O errors.
    pub fn list_files(self, config: &FilesConfig) -> Result<FileList, DataError> {
        match self {
            #[cfg(feature = "files")]
            Self::Disk => super::walk::list_files(config),
            Self::Memory(read) => {
                let base = config.base.as_ref().map(PathBuf::from).unwrap_or_default();
                let entries = config.paths.iter().map(|path| memory_entry(base.join(path), read));
                Ok(FileList { entries: entries.collect::<Result<_, _>>()?, dangling: Vec::new() })
            }
        }
    }
}

/// A file in memory.
fn memory_entry(path: PathBuf, read: ReadFile) -> Result<FileEntry, DataError> {
    match read(&path) {
        Ok(bytes) => {
            let (size, contents) = (bytes.len() as u64, Some(FileContents(bytes)));
            Ok(FileEntry { path, size, is_explicit: true, contents })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::PathNotFound { path: path.display().to_string(), nearest: None })
        }
        Err(error) => Err(io_error(&path, "read the file")(error)),
    }
}

/// Adapter for `map_err` that adds the path and the attempted action.
pub(crate) fn io_error(path: &Path, action: &'static str) -> impl Fn(io::Error) -> DataError {
    let path = path.display().to_string();
    move |error| DataError::Io { path: path.clone(), action, reason: error.to_string() }
}
