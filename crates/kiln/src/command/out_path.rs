//! Output paths: what a command may write to, and what it may replace.

use super::error::CliError;
use kiln_pretrained::files::check_writable;
use std::{fs, io::Read, path::Path};

/// The beginning of every page that Kiln writes.
const PAGE_START: &[u8] = b"<!doctype html";

/// Checks that a file can be written to `out`. Refuses an existing file unless `force` is set, and everything that is not a
/// regular file (such as a device) always.
pub fn check_file(out: &Path, force: bool) -> Result<(), CliError> {
    require_regular(out)?;
    if !force && out.exists() {
        return Err(refused(out, "exists already").with_help("name a new file, or use --force to replace this one"));
    }
    Ok(())
}

/// Checks that a page can be written to `out`. A page may replace an earlier page, but no other file.
pub fn check_page(out: &Path) -> Result<(), CliError> {
    require_regular(out)?;
    let is_replaceable = !out.exists() || is_page(out).map_err(|error| refused(out, &error.to_string()))?;
    if is_replaceable {
        return Ok(());
    }
    Err(refused(out, "expected a new file or an HTML page, found another file").with_help("name a new file"))
}

/// Whether a file is empty or begins as Kiln's pages do.
fn is_page(file: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(file)?.take(PAGE_START.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start.eq_ignore_ascii_case(PAGE_START))
}

/// Checks that a folder can be written to `out`: it is new or empty, or `force` is set.
pub fn check_folder(out: &Path, force: bool) -> Result<(), CliError> {
    let is_new = fs::symlink_metadata(out).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if is_new {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(refused(out, "expected a new or empty folder, found something else"));
    }
    let is_empty = fs::read_dir(out).map(|mut entries| entries.next().is_none());
    if force || is_empty.map_err(|error| refused(out, &error.to_string()))? {
        return Ok(());
    }
    Err(refused(out, "the folder is not empty")
        .with_help("name a new folder, or use --force to replace the model files in this one"))
}

fn require_regular(out: &Path) -> Result<(), CliError> {
    check_writable(out).map_err(|error| refused(out, &error.to_string()))
}

fn refused(out: &Path, reason: &str) -> CliError {
    CliError::usage(format!("cannot write {}: {reason}", out.display())).with_location("--out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<(), CliError>) -> String {
        let error = result.expect_err("a refusal");
        assert_eq!((error.kind, error.exit_code, error.location.as_deref()), ("usage", 2, Some("--out")));
        error.message
    }

    #[test]
    fn existing_files_are_replaced_only_if_forced() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("model.gguf");
        assert!(check_file(&file, false).is_ok());
        fs::write(&file, "x").unwrap();
        assert!(refusal(check_file(&file, false)).contains("exists already"));
        assert!(check_file(&file, true).is_ok());
        assert!(refusal(check_file(home.path(), true)).contains("found a folder"));
        assert!(refusal(check_folder(&file, true)).contains("expected a new or empty folder"));
    }

    #[test]
    fn folders_are_new_or_empty_unless_forced() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("out");
        assert!(check_folder(&folder, false).is_ok());
        fs::create_dir(&folder).unwrap();
        assert!(check_folder(&folder, false).is_ok());
        fs::write(folder.join("x"), "x").unwrap();
        assert!(refusal(check_folder(&folder, false)).contains("not empty"));
        assert!(check_folder(&folder, true).is_ok());
    }

    #[test]
    fn a_page_replaces_pages_only() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("page.html");
        assert!(check_page(&file).is_ok());
        for (text, is_page) in [("", true), ("<!DOCTYPE html>\n<p>", true), ("# Notes", false), ("<!doc", false)] {
            fs::write(&file, text).unwrap();
            assert_eq!(check_page(&file).is_ok(), is_page, "{text:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused_always() {
        for out in ["/dev/full", "/dev/null"].map(Path::new) {
            for result in [check_file(out, true), check_page(out)] {
                assert!(refusal(result).contains("found a device"));
            }
            refusal(check_folder(out, true));
        }
    }
}
