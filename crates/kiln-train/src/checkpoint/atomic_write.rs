//! Atomic writes: a file or a folder appears complete or not at all, even if the process is killed or the power fails.
//!
//! Content is written under a temporary name in the same folder, flushed to the disk (`fsync`), and renamed. The folder is
//! flushed after the rename. Temporary names that a killed process leaves are removed at the next start.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kiln_pretrained::files::check_writable;

use crate::run_folder_error::RunFolderError;

/// Prefix of temporary names.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// Writes a file atomically. If anything fails, an earlier file at `path` is unchanged.
///
/// # Errors
/// If the file system fails, or something other than a regular file is at `path`, such as a device.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    let write_error = |source| RunFolderError::from_io("write", path, source);
    check_writable(path).map_err(write_error)?;
    let temporary = TemporaryPath::new_for(path);
    write_and_sync(temporary.path(), bytes).map_err(write_error)?;
    temporary.rename(path)
}

/// Writes a new file and flushes it to the disk.
pub(super) fn write_file_synced(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    write_and_sync(path, bytes).map_err(|source| RunFolderError::from_io("write", path, source))
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Flushes the names in a folder to the disk. Unix only: elsewhere it is not possible and not needed.
pub(super) fn sync_folder(path: &Path) -> Result<(), RunFolderError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| RunFolderError::from_io("write", path, source))
}

/// A temporary name in the folder of the final one. A file or folder of this name is removed on drop, unless it was renamed.
pub(super) struct TemporaryPath(PathBuf);

impl TemporaryPath {
    /// The temporary name for `path`, with the id of this process.
    pub fn new_for(path: &Path) -> Self {
        let mut name = OsString::from(TEMPORARY_PREFIX);
        name.push(path.file_name().unwrap_or_default());
        name.push(format!("-{}", std::process::id()));
        Self(path.with_file_name(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Renames the file or folder to its final name.
    pub fn rename(self, to: &Path) -> Result<(), RunFolderError> {
        rename_synced(&self.0, to)
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        // There is nothing to remove after a rename. A failure is ignored: the next start removes the file.
        let _ = remove_if_exists(&self.0);
    }
}

/// Renames within a folder and flushes the folder to the disk.
pub(super) fn rename_synced(from: &Path, to: &Path) -> Result<(), RunFolderError> {
    fs::rename(from, to).map_err(|source| RunFolderError::from_io("write", to, source))?;
    sync_folder(parent_folder(to))
}

/// Removes a folder atomically: it is renamed first, since a partly removed folder must not look like a checkpoint.
pub(super) fn remove_folder(path: &Path) -> Result<(), RunFolderError> {
    let temporary = TemporaryPath::new_for(path);
    rename_synced(path, temporary.path())?;
    remove_if_exists(temporary.path()).map_err(|source| RunFolderError::from_io("remove", temporary.path(), source))
}

/// Whether `name` is a temporary name.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// Removes all files and folders with temporary names in `folder`.
pub(crate) fn remove_temporary_files(folder: &Path) -> Result<(), RunFolderError> {
    for name in file_names(folder)?.iter().filter(|name| is_temporary(name)) {
        let path = folder.join(name);
        remove_if_exists(&path).map_err(|source| RunFolderError::from_io("remove", &path, source))?;
    }
    Ok(())
}

/// Names of the entries of a folder, sorted, without those that are not Unicode. A missing folder has none.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>, RunFolderError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RunFolderError::from_io("read", folder, source)),
    };
    let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect();
    let mut names: Vec<_> =
        names.map_err(|source| RunFolderError::from_io("read", folder, source))?.into_iter().flatten().collect();
    names.sort();
    Ok(names)
}

/// Removes a file or a folder; a missing one is no error.
fn remove_if_exists(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The parent folder of `path`: `.` for a bare name.
pub(crate) fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
