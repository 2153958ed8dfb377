//! Finds and opens the parts of a split model on disk, by the path of one.

use super::{
    parts::Part,
    split::{SplitError, SplitInfo, split_part_names},
};
use crate::files::{LoadError, MappedFile};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Largest number of links that are followed, as in the Linux kernel.
const MAX_LINKS: usize = 40;

/// Opens a file, and if it is a part of a split model, all parts in its folder.
///
/// # Errors
/// If a file cannot be read, is not a GGUF file that Kiln reads, or is missing.
pub(super) fn open_parts(path: &Path) -> Result<Vec<Part<MappedFile>>, LoadError> {
    let part = open_part(path)?;
    let Some(split) = part.split else { return Ok(vec![part]) };
    let paths = find_parts(path, split).map_err(|error| LoadError::Split { file: path.into(), error })?;
    let mut parts = vec![part];
    for (_, other) in paths.iter().enumerate().filter(|(index, _)| *index != split.index) {
        parts.push(open_part(other)?);
    }
    Ok(parts)
}

fn open_part(path: &Path) -> Result<Part<MappedFile>, LoadError> {
    Part::open(path, MappedFile::open(path).map_err(LoadError::io(path))?)
}

/// Returns the paths of all parts, by the path of one.
///
/// The names are looked for beside the path itself; if the path is a link, also beside each file that it leads to. A file of
/// the hub's cache is a link whose target has a hash for a name, a user's link may have any name.
fn find_parts(path: &Path, split: SplitInfo) -> Result<Vec<PathBuf>, SplitError> {
    let SplitInfo { index, count, .. } = split;
    let mut error = SplitError::UnknownName { index, count };
    for place in linked_paths(path) {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let names = split_part_names(name).filter(|names| names.len() == count && names[index] == name);
        let Some(names) = names else { continue };
        let missing: Vec<String> = names.iter().filter(|name| !place.with_file_name(name).is_file()).cloned().collect();
        if missing.is_empty() {
            return Ok(names.iter().map(|name| place.with_file_name(name)).collect());
        }
        if matches!(error, SplitError::UnknownName { .. }) {
            error = SplitError::Missing { index, count, missing };
        }
    }
    Err(error)
}

/// The path, and where it leads if it is a link, a link to a link and so on.
fn linked_paths(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    while let Some(Ok(target)) = paths.last().map(fs::read_link) {
        let folder = paths.last().and_then(|link| link.parent()).unwrap_or(Path::new(""));
        paths.push(folder.join(target));
        if paths.len() > MAX_LINKS {
            break;
        }
    }
    paths
}
