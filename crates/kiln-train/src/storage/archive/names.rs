//! Names of files in a zip file.
use super::ArchiveError;

/// Checks that a name is a relative path below the folder that it is unpacked into, on every system. A name that ends in `/` is
/// that of a folder.
///
/// # Errors
/// [`ArchiveError::UnsafeName`].
pub(super) fn check_name(name: &str) -> Result<(), ArchiveError> {
    let refuse = |found| Err(ArchiveError::UnsafeName { name: name.to_owned(), found });
    if name.starts_with('/') {
        return refuse("an absolute path");
    }
    if let Some(found) = name.chars().find_map(refused_character) {
        return refuse(found);
    }
    for part in name.strip_suffix('/').unwrap_or(name).split('/') {
        match part {
            ".." => return refuse("`..`"),
            "." => return refuse("`.`"),
            "" => return refuse("an empty part"),
            _ => {}
        }
    }
    Ok(())
}

/// Characters that separate or qualify paths on some system.
fn refused_character(character: char) -> Option<&'static str> {
    match character {
        '\\' => Some("a backslash"),
        ':' => Some("a colon"),
        character if character.is_control() => Some("a control character"),
        _ => None,
    }
}

/// Whether the file is one that a file manager adds to a zip file.
pub(super) fn is_foreign(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.rsplit('/').next() == Some(".DS_Store")
}

/// The folder above all `names` that has a `recipe.toml`, with a `/` at its end; empty if `recipe.toml` is in no folder; `None`
/// if there is no such folder.
pub(super) fn find_root<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if names.clone().any(|name| name == RECIPE_FILE) {
        return Some("");
    }
    let root = names.clone().find_map(|name| match name.strip_suffix(RECIPE_FILE) {
        Some(folder) if folder.ends_with('/') && folder.matches('/').count() == 1 => Some(folder),
        _ => None,
    })?;
    names.clone().all(|name| name.starts_with(root)).then_some(root)
}

/// The file that every run has.
const RECIPE_FILE: &str = "recipe.toml";
