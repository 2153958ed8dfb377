//! Files that are complete or absent: written under a temporary name and renamed.

use super::SaveError;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Writes JSON, indented, as one file.
///
/// # Errors
/// If the file cannot be written.
pub fn save_json(file: &Path, json: &Value) -> Result<(), SaveError> {
    save_bytes(file, format!("{json:#}\n").as_bytes())
}

/// Writes bytes as one file.
///
/// # Errors
/// If the file cannot be written.
pub fn save_bytes(file: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let write = |temporary: &Path| {
        let mut written = File::create(temporary)?;
        written.write_all(bytes)?;
        written.sync_all()
    };
    write_atomically(file, |temporary| write(temporary).map_err(io_error(file)), io_error(file))
}

/// Calls `write` with a temporary path beside `file` and renames the result to `file`. Removes the temporary file if
/// either fails. Refuses what is neither new nor a regular file: a rename would replace a device by a file.
pub(crate) fn write_atomically<E>(
    file: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
    io_error: impl FnOnce(io::Error) -> E,
) -> Result<(), E> {
    if let Err(error) = check_writable(file) {
        return Err(io_error(error));
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".tmp-{name}-{}", std::process::id()));
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, file).map_err(io_error));
    if written.is_err() {
        // The file may not have been created.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// An adapter for `map_err` where `file` is written.
pub(super) fn io_error(file: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let file = file.to_owned();
    move |source| SaveError::Io { file, source }
}

/// Checks that a file can be written to `path`: it is new or a regular file. A link to a regular file is replaced by the written
/// file; the file that it leads to is left unchanged.
///
/// # Errors
/// If something else is at the path, such as a device or a folder, or it is a link that leads to nothing.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) => Err(not_a_file(describe_kind(&metadata))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) if path.is_symlink() => Err(not_a_file("a link that leads to nothing")),
        Err(_) => Ok(()),
    }
}

fn not_a_file(found: &str) -> io::Error {
    let reason = format!("expected a new path or a regular file, found {found}");
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// What is at a path that is not a regular file.
fn describe_kind(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        match () {
            () if kind.is_char_device() || kind.is_block_device() => return "a device",
            () if kind.is_fifo() => return "a pipe",
            () if kind.is_socket() => return "a socket",
            () => {}
        }
    }
    "a special file"
}

#[cfg(test)]
mod tests {
    use super::{check_writable, save_bytes};
    use std::fs;

    #[test]
    fn new_paths_and_regular_files_are_written() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        for text in ["one", "two"] {
            assert!(check_writable(&file).is_ok());
            save_bytes(&file, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        let error = save_bytes(home.path(), b"x").unwrap_err().to_string();
        assert!(error.contains("found a folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn devices_stay_devices_and_linked_files_stay_unchanged() {
        let home = tempfile::tempdir().unwrap();
        let (link, file, device) = (home.path().join("link"), home.path().join("file"), home.path().join("device"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(check_writable(&link).unwrap_err().to_string().contains("leads to nothing"));
        fs::write(&file, "old").unwrap();
        save_bytes(&link, b"new").unwrap();
        assert_eq!([&file, &link].map(|path| fs::read_to_string(path).unwrap()), ["old", "new"]);
        std::os::unix::fs::symlink("/dev/full", &device).unwrap();
        for path in [device.as_path(), "/dev/null".as_ref()] {
            let error = save_bytes(path, b"x").unwrap_err().to_string();
            assert!(error.contains("found a device"), "{error}");
        }
        assert!(device.is_symlink());
    }
}
