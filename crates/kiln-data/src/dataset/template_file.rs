//! Chat templates in files.

use crate::DataError;
use std::{fs, io};

/// The text of a template file.
///
/// # Errors
/// [`DataError::PathNotFound`] or an I/O error.
pub(super) fn read_template(path: &str) -> Result<String, DataError> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::PathNotFound { path: path.into(), nearest: None },
        _ => DataError::Io { path: path.into(), action: "read the chat template", reason: error.to_string() },
    })
}
