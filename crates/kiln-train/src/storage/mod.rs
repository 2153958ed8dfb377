//! Storage of runs: named files in folders, on a disk or in memory.
//!
//! A run reads and writes its files through [`Storage`] only. `DiskStorage` (feature `files`) keeps them in the file system,
//! [`MemoryStorage`] in memory, for programs without a file system such as a page in a browser. The files have the same
//! names and bytes in both, so that a run moves from one to the other by copying its files. [`pack_run`] and [`RunArchive`] copy
//! them through a zip file.
mod archive;
mod atomic;
#[cfg(feature = "files")]
mod disk;
#[cfg(feature = "files")]
mod lock_file;
mod memory;

pub use archive::{ArchiveError, RunArchive, pack_run};
pub(crate) use atomic::{
    TemporaryFolder, create_folder, file_names, is_temporary, parent_folder, remove_folder, remove_temporary_files,
    rename, write_atomic, write_file_synced,
};
#[cfg(feature = "files")]
pub use disk::DiskStorage;
pub use memory::{Change, MemoryStorage};

use crate::{checkpoint::FileDigest, run_folder_error::RunFolderError};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Kind of an entry of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Files and folders by path.
///
/// All methods act at once: none waits for anything but the storage itself.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Kind of the entry at `path`; `None` if there is none.
    fn kind(&self, path: &Path) -> Option<EntryKind>;

    /// Contents of a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no file, or a failure of the storage.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Contents of a file, without a copy if the storage has them in memory. Default: as [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_shared(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        self.read(path).map(Arc::new)
    }

    /// Names of the entries of a folder, sorted, without those that are not Unicode. A missing folder has none.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn entries(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file, in place of an earlier one, to write it in pieces. Its folder must exist.
    ///
    /// # Errors
    /// If the file cannot be created.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file to append to it. A missing file is created.
    ///
    /// # Errors
    /// If the file cannot be opened.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Writes a whole file, which appears complete or not at all, even if the process is killed or the power fails. If
    /// anything fails, an earlier file at `path` is unchanged.
    ///
    /// # Errors
    /// If the storage fails, or something other than a regular file is at `path`.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Creates a folder and the folders above it. An existing folder is no error.
    ///
    /// # Errors
    /// If a folder cannot be created.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder in an existing one.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is an entry of this name, or a failure of the storage.
    fn create_new_folder(&self, path: &Path) -> io::Result<()>;

    /// Renames a file or a folder at once, and makes the new name durable. A file replaces an earlier file.
    ///
    /// # Errors
    /// If there is nothing to rename, a folder is in the way, or the storage fails.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or a folder with all that it contains. A missing entry is no error.
    ///
    /// # Errors
    /// If the entry cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names of the entries of a folder durable.
    ///
    /// # Errors
    /// If the storage fails.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the contents of a file durable, and computes their size and hash.
    ///
    /// # Errors
    /// If the file cannot be read, or the storage fails.
    fn sync_and_hash(&self, path: &Path) -> io::Result<FileDigest>;

    /// Takes the lock of the run in the folder `run`, which exists.
    ///
    /// # Errors
    /// [`RunFolderError::Locked`] if it is taken, or a failure of the storage.
    fn lock_run(&self, run: &Path) -> Result<Box<dyn StorageLock>, RunFolderError>;

    /// The path in the file system of an entry. `None`, the default, for a storage outside of it.
    fn disk_path(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}

/// A file that is being written.
pub trait StorageFile: fmt::Debug + Send {
    /// Appends bytes. If that fails, none of them are left in the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// If the storage fails.
    fn sync(&self) -> io::Result<()>;
}

/// The lock of a run. Dropping it releases the lock.
pub trait StorageLock: fmt::Debug + Send {}

#[cfg(test)]
pub(crate) mod tests;
