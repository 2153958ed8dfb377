//! The folder of a new run, never over another.
use std::fs;
use std::io;
use std::path::Path;

use super::paths::{describe_entries, slug};
use super::{RunFolder, RunLock, RunPaths, write_atomic};
use crate::checkpoint::atomic_write::{file_names, is_temporary, parent_folder, remove_temporary_files};
use crate::run_folder_error::RunFolderError;

/// In `path`, which must be new or empty.
pub(super) fn create_in(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    if try_create_folder(path)? {
        return init_or_remove(path, recipe);
    }
    let exists = |found: String| Err(RunFolderError::FolderExists { path: path.to_owned(), found });
    if !path.is_dir() {
        return exists("a file".to_owned());
    }
    // A process that was killed before it had written the recipe leaves no run.
    let there = file_names(path)?;
    let used = there.iter().any(|name| name != "lock" && !is_temporary(name));
    if used { exists(describe_entries(&there)) } else { init_run_folder(path, recipe) }
}

/// In the first free one of `base/<name>`, `base/<name>-2`, ….
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

/// Makes the folder, or says that something of that name is there: of two processes only one makes it.
fn try_create_folder(path: &Path) -> Result<bool, RunFolderError> {
    let above = parent_folder(path);
    fs::create_dir_all(above).map_err(|source| RunFolderError::from_io("create", above, source))?;
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(RunFolderError::from_io("create", path, source)),
    }
}

/// A folder that was just made goes again if nothing can be written into it.
fn init_or_remove(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    init_run_folder(path, recipe).inspect_err(|_| {
        let _ = fs::remove_dir_all(path);
    })
}

fn init_run_folder(path: &Path, recipe: &str) -> Result<RunFolder, RunFolderError> {
    let paths = RunPaths::new(path);
    let lock = RunLock::acquire(&paths)?;
    // Whoever held the lock a moment ago may have made a run of it.
    if paths.recipe().exists() {
        return Err(RunFolderError::FolderExists {
            path: path.to_owned(),
            found: describe_entries(&file_names(path)?),
        });
    }
    remove_temporary_files(path)?;
    write_atomic(&paths.recipe(), recipe.as_bytes())?;
    Ok(RunFolder { paths, _lock: lock })
}
