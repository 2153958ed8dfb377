//! Creation of run folders. An existing run is never overwritten.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::paths::{describe_entries, slug};
use super::{RunFolder, RunPaths};
use crate::run_folder_error::RunFolderError;
use crate::storage::{
    Storage, create_folder, file_names, is_temporary, parent_folder, remove_temporary_files, write_atomic,
};

/// Creates a run folder at `path`, which must be new or empty.
pub(super) fn create_in(storage: Arc<dyn Storage>, path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    if try_create_folder(&*storage, path)? {
        return init_or_remove(storage, path, recipe);
    }
    if !storage.is_folder(path) {
        return Err(RunFolderError::FolderExists { path: path.to_owned(), found: "a file".to_owned() });
    }
    // A process that was killed before it wrote the recipe leaves a lock file and temporary files, but no run.
    let names = file_names(&*storage, path)?;
    if names.iter().any(|name| name != "lock" && !is_temporary(name)) {
        return Err(RunFolderError::FolderExists { path: path.to_owned(), found: describe_entries(&names) });
    }
    init_run_folder(storage, path, recipe)
}

/// Creates a run folder at the first free one of `base/<name>`, `base/<name>-2`, ….
pub(super) fn create_first_free(
    storage: Arc<dyn Storage>,
    base: &Path,
    name: &str,
    recipe: &str,
) -> Result<RunFolder, RunFolderError> {
    let name = slug(name);
    let mut number = 1;
    while !try_create_folder(&*storage, &numbered_path(base, &name, number))? {
        number += 1;
    }
    init_or_remove(storage, &numbered_path(base, &name, number), recipe)
}

/// The first path of `base/<name>`, `base/<name>-2`, … at which there is nothing.
pub(crate) fn first_free(storage: &dyn Storage, base: &Path, name: &str) -> PathBuf {
    let mut number = 1;
    while storage.exists(&numbered_path(base, name, number)) {
        number += 1;
    }
    numbered_path(base, name, number)
}

/// `base/<name>` for 1, else `base/<name>-<number>`.
fn numbered_path(base: &Path, name: &str, number: u64) -> PathBuf {
    base.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") })
}

/// Creates the folder; false if the name is used. If two processes try, only one succeeds.
fn try_create_folder(storage: &dyn Storage, path: &Path) -> Result<bool, RunFolderError> {
    create_folder(storage, parent_folder(path))?;
    match storage.create_new_folder(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(RunFolderError::from_io("create", path, source)),
    }
}

/// Initializes a folder that was just created; removes it again if that fails.
fn init_or_remove(storage: Arc<dyn Storage>, path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let folder = init_run_folder(storage.clone(), path, recipe).inspect_err(|_| {
        let _ = storage.remove(path);
    })?;
    Ok(RunFolder { is_new: true, ..folder })
}

/// Locks the folder and writes the recipe.
fn init_run_folder(storage: Arc<dyn Storage>, path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let lock = storage.lock_run(path)?;
    let paths = RunPaths::new(storage, path);
    let storage = paths.storage();
    // Another process may have created a run here before this one got the lock.
    if storage.exists(&paths.recipe()) {
        return Err(RunFolderError::FolderExists {
            path: path.to_owned(),
            found: describe_entries(&file_names(storage, path)?),
        });
    }
    remove_temporary_files(storage, path)?;
    write_atomic(storage, &paths.recipe(), recipe.as_bytes())?;
    Ok(RunFolder { paths, lock, is_new: false })
}
