//! Named files of a model or a tokenizer, on disk or in memory.
//!
//! Readers of such files take a [`FileSet`], so that a folder ([`Path`](std::path::Path), feature `files`) and bytes
//! that a browser has fetched ([`MemoryFiles`]) go through the same code.

#[cfg(feature = "files")]
mod folder;

use crate::DataError;
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

/// Files by name: the files of one folder.
pub trait FileSet {
    /// Returns the contents of the file `name`, or `None` if there is no such file.
    ///
    /// # Errors
    /// If the file exists but cannot be read.
    fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, DataError>;

    /// The location of the file `name`, for error messages.
    fn location(&self, name: &str) -> PathBuf;

    /// The location of the set, for error messages: a folder.
    fn folder(&self) -> PathBuf;
}

/// Files in memory, by name.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles<'a>(BTreeMap<&'a str, &'a [u8]>);

impl<'a> MemoryFiles<'a> {
    /// Returns the contents of the file `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.get(name).copied()
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for MemoryFiles<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

impl FileSet for MemoryFiles<'_> {
    fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, DataError> {
        Ok(self.get(name).map(Cow::Borrowed))
    }

    fn location(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn folder(&self) -> PathBuf {
        "(in memory)".into()
    }
}

/// Returns the text of the file `name`, or `None` if there is no such file.
///
/// # Errors
/// If the file cannot be read or is not UTF-8.
pub fn read_text<F: FileSet + ?Sized>(files: &F, name: &str) -> Result<Option<String>, DataError> {
    let Some(bytes) = files.read(name)? else { return Ok(None) };
    let text = String::from_utf8(bytes.into_owned()).map_err(|error| DataError::InvalidUtf8 {
        path: files.location(name).display().to_string(),
        line: 0,
        offset: error.utf8_error().valid_up_to() as u64,
    })?;
    Ok(Some(text))
}

/// Returns the JSON of the file `name`, or `None` if there is no such file.
///
/// # Errors
/// If the file cannot be read or is not JSON.
pub fn read_json<F: FileSet + ?Sized>(files: &F, name: &str) -> Result<Option<Value>, DataError> {
    read_text(files, name)?.map(|text| parse_json(files, name, &text)).transpose()
}

/// Parses `text`, the contents of the file `name`.
pub(crate) fn parse_json<F: FileSet + ?Sized>(files: &F, name: &str, text: &str) -> Result<Value, DataError> {
    let invalid = |error| DataError::tokenizer(format!("invalid JSON: {error}")).with_path(&files.location(name));
    serde_json::from_str(text).map_err(invalid)
}
