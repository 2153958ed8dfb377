//! Configuration of the training text: the `[data]` table of a recipe.
//!
//! ```toml
//! [data]
//! validation = 0.05
//! source = { files = { paths = ["texts/", "more.jsonl.gz"], field = "text" } }
//! ```
//!
//! [`crate::Dataset::open`] opens the whole configuration, and [`SourceConfig::open`] a source of text.
//! [`crate::ValidationSplit`] uses [`DataConfig::validation`].
//!
//! ```toml
//! [data]
//! sources = [
//!     { source = { files = { paths = ["chats.jsonl"] } }, weight = 3 },
//!     { source = { files = { paths = ["alpaca.json"] } }, weight = 1, format = "instruction" },
//! ]
//! validation_source = { files = { paths = ["held-out.jsonl"] } }
//! ```

use crate::{
    DataError,
    dataset::CHATML,
    example::ExampleFormat,
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

/// A source of a mixture.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MixtureSource {
    /// Data source.
    pub source: SourceConfig,
    /// Share of the source among all rows of a run, relative to the other sources; above 0. Default: 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Format of the rows; `auto` recognizes it by their fields.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub format: ExampleFormat,
    /// Chat template: the path of a Jinja file, or `chatml`. Absent: the template of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Training data and validation split.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Data source.
    pub source: SourceConfig,
    /// Several sources with weights, in place of `source`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<MixtureSource>,
    /// Format of the rows of `source`; `auto` recognizes it by their fields.
    #[serde(skip_serializing_if = "is_auto")]
    pub format: ExampleFormat,
    /// Chat template: the path of a Jinja file, or `chatml`. Absent: the template of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Fraction of documents used for validation, above 0 and below 1. Documents are chosen by a hash of their text.
    pub validation: f64,
    /// Source of its own for validation, in place of the fraction `validation`. It has the format and the template of `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_source: Option<SourceConfig>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: SourceConfig::Stories(StoriesConfig::default()),
            sources: Vec::new(),
            format: ExampleFormat::Auto,
            template: None,
            validation: 0.05,
            validation_source: None,
        }
    }
}

/// Default of [`MixtureSource::weight`].
fn default_weight() -> f64 {
    1.0
}

/// Whether a format is the default.
fn is_auto(format: &ExampleFormat) -> bool {
    *format == ExampleFormat::Auto
}

impl DataConfig {
    /// The sources: those of the mixture, else the only one with weight 1.
    ///
    /// # Errors
    /// [`DataError::Config`] for a weight that is not above 0, and for both `source` and `sources`.
    pub fn mixture(&self) -> Result<Vec<MixtureSource>, DataError> {
        if self.sources.is_empty() {
            let (format, template) = (self.format, self.template.clone());
            return Ok(vec![MixtureSource { source: self.source.clone(), weight: 1.0, format, template }]);
        }
        if self.source != Self::default().source {
            let expected = "absent, because `data.sources` is there".into();
            return Err(DataError::Config { key: "data.source", found: "also given".into(), expected });
        }
        if let Some(source) = self.sources.iter().find(|source| !(source.weight > 0.0 && source.weight.is_finite())) {
            let expected = "a number above 0; leave the source out to use nothing of it".into();
            return Err(DataError::Config { key: "data.sources.weight", found: source.weight.to_string(), expected });
        }
        let inherit = |source: &MixtureSource| MixtureSource {
            format: if is_auto(&source.format) { self.format } else { source.format },
            template: source.template.clone().or(self.template.clone()),
            ..source.clone()
        };
        Ok(self.sources.iter().map(inherit).collect())
    }

    /// All sources, that of validation included, to change them.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut SourceConfig> {
        let mixture = self.sources.iter_mut().map(|source| &mut source.source);
        [&mut self.source].into_iter().chain(mixture).chain(&mut self.validation_source)
    }

    /// Makes relative paths of sources and templates independent of the current directory: they start from `folder` from now on.
    pub fn resolve_relative_to(&mut self, folder: &Path) {
        self.sources_mut().for_each(|source| source.resolve_relative_to(folder));
        let templates = self.sources.iter_mut().map(|source| &mut source.template).chain([&mut self.template]);
        for template in templates.flatten().filter(|template| *template != CHATML) {
            if let Some(path) = folder.join(&*template).to_str() {
                *template = path.to_owned();
            }
        }
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
        let config = DataConfig { source, validation: 0.5, ..DataConfig::default() };
        assert_eq!(parsed(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(
            parsed(r#"{"source": {"files": {"paths": ["a.txt", "folder"]}}, "validation": 0.5}"#).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_keys_and_invalid_sizes_are_errors() {
        for wrong in [
            r#"{"sorces": "stories"}"#,
            r#"{"format": "alpaca"}"#,
            r#"{"source": {"files": {"path": ["a"]}}}"#,
            r#"{"source": "files"}"#,
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        for megabytes in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let source = SourceConfig::Stories(StoriesConfig { seed: 0, megabytes });
            assert_eq!(source.open().err().unwrap().kind(), "config");
        }
    }
}
