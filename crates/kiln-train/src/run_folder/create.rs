//! Creation of run folders. An existing run is never overwritten.
use std::fs;
use std::io;
use std::path::Path;

use super::paths::{describe_entries, slug};
use super::{RunFolder, RunLock, RunPaths, write_atomic};
use crate::checkpoint::atomic_write::{file_names, is_temporary, parent_folder, remove_temporary_files};
use crate::run_folder_error::RunFolderError;

/// Creates a run folder at `path`, which must be new or empty.
pub(super) fn create_in(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    if try_create_folder(path)? {
        return init_or_remove(path, recipe);
    }
    if !path.is_dir() {
        return Err(RunFolderError::FolderExists { path: path.to_owned(), found: "a file".to_owned() });
    }
    // A process that was killed before it wrote the recipe leaves a lock file and temporary files, but no run.
    let names = file_names(path)?;
    if names.iter().any(|name| name != "lock" && !is_temporary(name)) {
        return Err(RunFolderError::FolderExists { path: path.to_owned(), found: describe_entries(&names) });
    }
    init_run_folder(path, recipe)
}

/// Creates a run folder at the first free one of `base/<name>`, `base/<name>-2`, ….
pub(super) fn create_first_free(base: &Path, name: &str, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let name = slug(name);
    let mut path = base.join(&name);
    for number in 2_u64.. {
        if try_create_folder(&path)? {
            break;
        }
        path = base.join(format!("{name}-{number}"));
    }
    init_or_remove(&path, recipe)
}

/// Creates the folder; false if the name is used. If two processes try, only one succeeds.
fn try_create_folder(path: &Path) -> Result<bool, RunFolderError> {
    let parent = parent_folder(path);
    fs::create_dir_all(parent).map_err(|source| RunFolderError::from_io("create", parent, source))?;
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(RunFolderError::from_io("create", path, source)),
    }
}

/// Initializes a folder that was just created; removes it again if that fails.
fn init_or_remove(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let folder = init_run_folder(path, recipe).inspect_err(|_| {
        let _ = fs::remove_dir_all(path);
    })?;
    Ok(RunFolder { is_new: true, ..folder })
}

/// Locks the folder and writes the recipe.
fn init_run_folder(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let paths = RunPaths::new(path);
    let lock = RunLock::acquire(&paths)?;
    // Another process may have created a run here before this one got the lock.
    if paths.recipe().exists() {
        return Err(RunFolderError::FolderExists {
            path: path.to_owned(),
            found: describe_entries(&file_names(path)?),
        });
    }
    remove_temporary_files(path)?;
    write_atomic(&paths.recipe(), recipe.as_bytes())?;
    Ok(RunFolder { paths, lock, is_new: false })
}
