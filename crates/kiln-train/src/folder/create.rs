//! The folder of a new run, never over another.
use std::fs;
use std::io;
use std::path::Path;

use super::paths::{listing, slug};
use super::{Lock, RunFolder, RunPaths, write_atomic};
use crate::checkpoint::write::{is_temporary, names, parent, sweep};
use crate::error::RunError;

/// In `path`, which must be new or empty.
pub(super) fn at(path: &Path, recipe: &str) -> Result<RunFolder, RunError> {
    if claim(path)? {
        return fill_new(path, recipe);
    }
    let exists = |found: String| Err(RunError::Exists { path: path.to_owned(), found });
    if !path.is_dir() {
        return exists("a file".to_owned());
    }
    // A process that was killed before it had written the recipe leaves no run.
    let there = names(path)?;
    let used = there.iter().any(|name| name != "lock" && !is_temporary(name));
    if used { exists(listing(&there)) } else { fill(path, recipe) }
}

/// In the first free one of `base/<name>`, `base/<name>-2`, ….
pub(super) fn first_free(base: &Path, name: &str, recipe: &str) -> Result<RunFolder, RunError> {
    let name = slug(name);
    let mut path = base.join(&name);
    for number in 2_u64.. {
        if claim(&path)? {
            break;
        }
        path = base.join(format!("{name}-{number}"));
    }
    fill_new(&path, recipe)
}

/// Makes the folder, or says that something of that name is there: of two processes only one makes it.
fn claim(path: &Path) -> Result<bool, RunError> {
    let above = parent(path);
    fs::create_dir_all(above).map_err(|source| RunError::io("create", above, source))?;
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(RunError::io("create", path, source)),
    }
}

/// A folder that was just made goes again if nothing can be written into it.
fn fill_new(path: &Path, recipe: &str) -> Result<RunFolder, RunError> {
    fill(path, recipe).inspect_err(|_| {
        let _ = fs::remove_dir_all(path);
    })
}

fn fill(path: &Path, recipe: &str) -> Result<RunFolder, RunError> {
    let paths = RunPaths::new(path);
    let lock = Lock::take(&paths)?;
    // Whoever held the lock a moment ago may have made a run of it.
    if paths.recipe().exists() {
        return Err(RunError::Exists { path: path.to_owned(), found: listing(&names(path)?) });
    }
    sweep(path)?;
    write_atomic(&paths.recipe(), recipe.as_bytes())?;
    Ok(RunFolder { paths, _lock: lock })
}
