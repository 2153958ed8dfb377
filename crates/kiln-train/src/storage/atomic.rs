//! Operations that leave a storage complete at any moment, and their errors.
//!
//! Content is written under a temporary name in the same folder and renamed. Temporary names that a killed process leaves
//! are removed at the next start.
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{EntryKind, Storage};
use crate::run_folder_error::RunFolderError;

/// Prefix of temporary names.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// The temporary name for `path`, in the same folder.
pub(super) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(TEMPORARY_PREFIX);
    name.push(path.file_name().unwrap_or_default());
    // Only processes have ids: a browser has none, and the standard library panics when asked for one.
    #[cfg(feature = "files")]
    name.push(format!("-{}", std::process::id()));
    path.with_file_name(name)
}

/// Whether `name` is a temporary name.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// [`Storage::write_atomic`] with the path in its error.
pub(crate) fn write_atomic(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    storage.write_atomic(path, bytes).map_err(|source| RunFolderError::from_io("write", path, source))
}

/// Writes a new file and makes it durable.
pub(crate) fn write_file_synced(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    let written = storage.create(path).and_then(|mut file| {
        file.append(bytes)?;
        file.sync()
    });
    written.map_err(|source| RunFolderError::from_io("write", path, source))
}

/// A temporary folder beside the final one. It is removed on drop, unless it was renamed.
pub(crate) struct TemporaryFolder<'a> {
    storage: &'a dyn Storage,
    path: PathBuf,
}

impl<'a> TemporaryFolder<'a> {
    /// Creates the temporary folder for `path`.
    pub fn create_for(storage: &'a dyn Storage, path: &Path) -> Result<Self, RunFolderError> {
        let folder = Self { storage, path: temporary_path(path) };
        create_folder(storage, &folder.path)?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the folder to its final name.
    pub fn rename(self, to: &Path) -> Result<(), RunFolderError> {
        rename(self.storage, &self.path, to)
    }
}

impl Drop for TemporaryFolder<'_> {
    fn drop(&mut self) {
        // There is nothing to remove after a rename. A failure is ignored: the next start removes the folder.
        let _ = self.storage.remove(&self.path);
    }
}

/// Creates a folder and the folders above it.
pub(crate) fn create_folder(storage: &dyn Storage, path: &Path) -> Result<(), RunFolderError> {
    storage.create_folder(path).map_err(|source| RunFolderError::from_io("create", path, source))
}

/// [`Storage::rename`] with the new path in its error.
pub(crate) fn rename(storage: &dyn Storage, from: &Path, to: &Path) -> Result<(), RunFolderError> {
    storage.rename(from, to).map_err(|source| RunFolderError::from_io("write", to, source))
}

/// Removes a folder atomically: it is renamed first, since a partly removed folder must not look like a checkpoint.
pub(crate) fn remove_folder(storage: &dyn Storage, path: &Path) -> Result<(), RunFolderError> {
    let temporary = temporary_path(path);
    rename(storage, path, &temporary)?;
    storage.remove(&temporary).map_err(|source| RunFolderError::from_io("remove", &temporary, source))
}

/// Removes all files and folders with temporary names in `folder`.
pub(crate) fn remove_temporary_files(storage: &dyn Storage, folder: &Path) -> Result<(), RunFolderError> {
    for name in file_names(storage, folder)?.iter().filter(|name| is_temporary(name)) {
        let path = folder.join(name);
        storage.remove(&path).map_err(|source| RunFolderError::from_io("remove", &path, source))?;
    }
    Ok(())
}

/// [`Storage::entries`] with the folder in its error.
pub(crate) fn file_names(storage: &dyn Storage, folder: &Path) -> Result<Vec<String>, RunFolderError> {
    storage.entries(folder).map_err(|source| RunFolderError::from_io("read", folder, source))
}

/// The parent folder of `path`: `.` for a bare name.
pub(crate) fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl dyn Storage + '_ {
    /// Whether there is a file at `path`.
    pub fn is_file(&self, path: &Path) -> bool {
        self.kind(path) == Some(EntryKind::File)
    }

    /// Whether there is a folder at `path`.
    pub fn is_folder(&self, path: &Path) -> bool {
        self.kind(path) == Some(EntryKind::Folder)
    }

    /// Whether there is anything at `path`.
    pub fn exists(&self, path: &Path) -> bool {
        self.kind(path).is_some()
    }

    /// Contents of a file; none if it is missing.
    pub(crate) fn read_or_empty(&self, path: &Path) -> Result<Vec<u8>, RunFolderError> {
        match self.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|source| RunFolderError::from_io("read", path, source)),
        }
    }

    /// A file as text.
    ///
    /// # Errors
    /// If the file is missing, not UTF-8, or cannot be read.
    pub(crate) fn read_text(&self, path: &Path) -> Result<String, RunFolderError> {
        let text = self.read(path).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
        });
        text.map_err(|source| RunFolderError::from_io("read", path, source))
    }
}
