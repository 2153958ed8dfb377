//! Files and folders that appear whole or not at all, whenever the process is killed or the power fails.
//!
//! What is new is written under a temporary name beside its place, forced to the disk, and renamed once.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::run_folder_error::RunFolderError;

/// How temporary names begin.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// Writes `bytes` to `path`. If anything fails, what was there before is untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    let temporary = TemporaryPath::new_for(path);
    write_and_sync(temporary.path(), bytes).map_err(|source| RunFolderError::from_io("write", path, source))?;
    temporary.rename(path)
}

/// Writes a new file and forces it to the disk.
pub(super) fn write_file_synced(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    write_and_sync(path, bytes).map_err(|source| RunFolderError::from_io("write", path, source))
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Forces the names in a folder to the disk. Only Unix can, and only there is it needed.
pub(super) fn sync_folder(path: &Path) -> Result<(), RunFolderError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| RunFolderError::from_io("write", path, source))
}

/// A name beside the final one; what stands under it is removed unless it is renamed.
pub(super) struct TemporaryPath(PathBuf);

impl TemporaryPath {
    pub fn new_for(path: &Path) -> Self {
        let mut name = OsString::from(TEMPORARY_PREFIX);
        name.push(path.file_name().unwrap_or_default());
        name.push(format!("-{}", std::process::id()));
        Self(path.with_file_name(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The one step that makes it visible.
    pub fn rename(self, to: &Path) -> Result<(), RunFolderError> {
        rename_synced(&self.0, to)
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        // Nothing is left to remove after a rename, and nobody to tell if it fails: the next start removes it.
        let _ = remove_if_exists(&self.0);
    }
}

/// Renames within a folder, and forces the folder to the disk.
pub(super) fn rename_synced(from: &Path, to: &Path) -> Result<(), RunFolderError> {
    fs::rename(from, to).map_err(|source| RunFolderError::from_io("write", to, source))?;
    sync_folder(parent_folder(to))
}

/// Removes a folder at once as seen from outside: a half-removed one must not look like a checkpoint.
pub(super) fn remove_folder(path: &Path) -> Result<(), RunFolderError> {
    let temporary = TemporaryPath::new_for(path);
    rename_synced(path, temporary.path())?;
    remove_if_exists(temporary.path()).map_err(|source| RunFolderError::from_io("remove", temporary.path(), source))
}

/// Whether a name is one that nothing keeps.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// Removes what killed processes left under temporary names in `folder`.
pub(crate) fn remove_temporary_files(folder: &Path) -> Result<(), RunFolderError> {
    for name in file_names(folder)?.iter().filter(|name| is_temporary(name)) {
        let path = folder.join(name);
        remove_if_exists(&path).map_err(|source| RunFolderError::from_io("remove", &path, source))?;
    }
    Ok(())
}

/// The names in a folder that are text, sorted; none if there is no such folder.
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

fn remove_if_exists(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The folder that `path` is in, also for a bare name.
pub(crate) fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
