//! Configuration of the training text: the `[data]` table of a recipe.
//!
//! ```toml
//! [data]
//! validation = 0.05
//! source = { files = { paths = ["texts/", "more.jsonl.gz"], field = "text" } }
//! ```
//!
//! [`SourceConfig::open`] turns the configuration into a [`Source`]. [`crate::ValidationSplit`] uses
//! [`DataConfig::validation`].

use crate::{
    DataError,
    source::{Source, stories::StoriesConfig},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

kiln_spec::choice! {
    /// Text source.
    pub enum SourceConfig {
        /// Built-in stories, sampled from a built-in grammar, so that the lowest possible loss is known.
        "stories" => Stories(StoriesConfig),
        /// Text, JSON, CSV and TSV files (each also as .gz or .zst), Parquet files, and folders of them.
        "files" => Files(FilesConfig),
    }
}

/// Text from files and folders.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Files and folders. Folders are read recursively in name order. Hidden files and files without text are skipped.
    pub paths: Vec<String>,
    /// Folder that relative paths start from. Absent: the current directory, which is saved with the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Field of JSON rows, or column of a CSV, TSV or Parquet file, that holds the text. For the default `text`, a table
    /// without such a column may have a single column (Parquet: a single string column) instead.
    #[serde(default = "default_text_field")]
    pub field: String,
    /// File extensions to read in folders, such as ["rs", "md"]. Empty: all files.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Leave out rows without valid text (a null, invalid UTF-8, half of a surrogate pair, broken JSON or CSV) instead of
    /// ending with an error. They are counted, and the first are shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_bad_rows: bool,
}

/// Default of [`FilesConfig::field`].
pub(crate) const DEFAULT_TEXT_FIELD: &str = "text";

/// [`DEFAULT_TEXT_FIELD`], for serde.
fn default_text_field() -> String {
    DEFAULT_TEXT_FIELD.into()
}

/// Training text and validation split.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Text source.
    pub source: SourceConfig,
    /// Fraction of documents used for validation, above 0 and below 1. Documents are chosen by a hash of their text.
    pub validation: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { source: SourceConfig::Stories(StoriesConfig::default()), validation: 0.05 }
    }
}

impl FilesConfig {
    /// Configuration that reads all files of `paths`, with the default field `text`.
    pub fn new(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
            base: None,
            field: default_text_field(),
            extensions: Vec::new(),
            skip_bad_rows: false,
        }
    }
}

impl SourceConfig {
    /// Makes relative paths independent of the current directory: they start from `folder` from now on.
    ///
    /// A relative [`FilesConfig::base`] is joined to `folder`. A recipe calls it before it is saved with its
    /// run. The built-in stories and absolute paths are unchanged.
    pub fn resolve_relative_to(&mut self, folder: &Path) {
        let Self::Files(files) = self else { return };
        if files.paths.iter().all(|path| Path::new(path).is_absolute()) {
            return;
        }
        let base = files.base.as_ref().map_or_else(|| folder.to_owned(), |base| folder.join(base));
        // A folder name that is not UTF-8 cannot be saved in a recipe: paths then stay relative to the current directory.
        files.base = base.to_str().map(str::to_owned).or(files.base.take());
    }

    /// Opens the source. Paths are resolved and folders are listed here; text is read later.
    ///
    /// # Errors
    /// [`DataError::Config`] for a size of 0 or less, [`DataError::PathNotFound`] for a missing path,
    /// [`DataError::NoText`] if the folders contain no file, and I/O errors.
    pub fn open(&self) -> Result<Box<dyn Source>, DataError> {
        match self {
            Self::Stories(config) => config.check().map(|()| Box::new(config.clone()) as Box<dyn Source>),
            Self::Files(config) => open_files(config),
        }
    }
}

/// Opens a file source.
#[cfg(feature = "files")]
fn open_files(config: &FilesConfig) -> Result<Box<dyn Source>, DataError> {
    Ok(Box::new(crate::source::files::FileSource::open(config)?))
}

/// Without the feature `files` there is no file source.
#[cfg(not(feature = "files"))]
fn open_files(_: &FilesConfig) -> Result<Box<dyn Source>, DataError> {
    let expected = "`stories`, because this build has no support for files (feature `files`)".into();
    Err(DataError::Config { key: "data.source", found: "files".into(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<DataConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_default_is_the_built_in_stories() {
        assert_eq!(parsed("{}").unwrap(), DataConfig::default());
        assert_eq!(parsed(r#"{"source": "stories"}"#).unwrap(), DataConfig::default());
        assert!(DataConfig::default().source.open().unwrap().describe().contains("stories"));
    }

    #[test]
    fn a_written_config_is_read_back() {
        let source = SourceConfig::Files(FilesConfig::new(["a.txt", "folder"]));
        let config = DataConfig { source, validation: 0.5 };
        assert_eq!(parsed(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(
            parsed(r#"{"source": {"files": {"paths": ["a.txt", "folder"]}}, "validation": 0.5}"#).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_keys_and_invalid_sizes_are_errors() {
        for wrong in
            [r#"{"sources": "stories"}"#, r#"{"source": {"files": {"path": ["a"]}}}"#, r#"{"source": "files"}"#]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        for megabytes in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let source = SourceConfig::Stories(StoriesConfig { seed: 0, megabytes });
            assert_eq!(source.open().err().unwrap().kind(), "config");
        }
    }
}
