//! `[tokenizer]` of a recipe: which tokenizer to train, or which file to load.

use crate::{
    DataError,
    tokenizer::{SpecialTokens, Tokenizer},
};
use kiln_spec::config::NoOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

kiln_spec::choice! {
    /// Tokenizer. A tokenizer trained by Kiln is lossless: decoding returns the encoded text.
    pub enum TokenizerConfig {
        /// One token per byte, without training.
        "byte" => Byte(NoOptions),
        /// Character-level; rare characters are encoded as bytes.
        "character" => Character(VocabConfig),
        /// Byte-level byte-pair encoding (BPE, 1508.07909).
        "bpe" => Bpe(VocabConfig),
        /// An existing tokenizer file.
        "file" => File(TokenizerFileConfig),
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self::Bpe(VocabConfig::default())
    }
}

/// Vocabulary size of a tokenizer to train.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct VocabConfig {
    /// Maximum vocabulary size, including special tokens and the 256 bytes. Little training text gives a smaller one.
    pub vocab: usize,
}

impl Default for VocabConfig {
    fn default() -> Self {
        Self { vocab: 1024 }
    }
}

/// Path of an existing tokenizer.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFileConfig {
    /// A `tokenizer.json`, a SentencePiece `.model`, a `vocab.txt`, or a folder with one of them or with `vocab.json`
    /// and `merges.txt`.
    pub path: String,
    /// Folder that a relative path starts from. Absent: the current directory, which is saved with the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl TokenizerFileConfig {
    /// The path, joined to `base` if there is one.
    pub fn resolved_path(&self) -> PathBuf {
        self.base.as_ref().map(PathBuf::from).unwrap_or_default().join(&self.path)
    }

    /// Loads the tokenizer from [`resolved_path`](Self::resolved_path).
    ///
    /// # Errors
    /// If the file is missing or invalid, or if this build lacks the feature `files`.
    pub fn open(&self) -> Result<Tokenizer, DataError> {
        open_tokenizer(&self.resolved_path())
    }
}

#[cfg(feature = "files")]
fn open_tokenizer(path: &Path) -> Result<Tokenizer, DataError> {
    use super::pretrained::{from_file, from_folder};
    if path.is_dir() { from_folder(path) } else { from_file(path) }
}

#[cfg(not(feature = "files"))]
fn open_tokenizer(path: &Path) -> Result<Tokenizer, DataError> {
    let expected = "`byte`, `character` or `bpe`: this build of Kiln cannot read files".into();
    Err(DataError::Config { key: "tokenizer", found: path.display().to_string(), expected })
}

impl TokenizerConfig {
    /// Makes a relative path start from `folder`, usually the folder of the recipe. A `base` that is already set is
    /// joined to `folder`; absolute paths stay unchanged.
    pub fn resolve_relative_to(&mut self, folder: &Path) {
        let Self::File(file) = self else { return };
        if !Path::new(&file.path).is_absolute() {
            let base = file.base.as_ref().map_or_else(|| folder.to_owned(), |base| folder.join(base));
            file.base = base.to_str().map(str::to_owned).or(file.base.take());
        }
    }

    /// Checks that the tokenizer file exists and is valid, by loading it. Tokenizers to train need no file.
    ///
    /// # Errors
    /// Those of [`TokenizerFileConfig::open`].
    pub fn ensure_readable(&self) -> Result<(), DataError> {
        if let Self::File(file) = self { file.open().map(drop) } else { Ok(()) }
    }

    /// Checks the vocabulary size: at least the special tokens and the 256 bytes, at most 2²⁰.
    ///
    /// # Errors
    /// [`DataError::Config`] with the allowed range.
    pub fn check(&self) -> Result<(), DataError> {
        let (key, vocab) = match self {
            Self::Byte(_) | Self::File(_) => return Ok(()),
            Self::Character(config) => ("tokenizer.character.vocab", config.vocab),
            Self::Bpe(config) => ("tokenizer.bpe.vocab", config.vocab),
        };
        let min = SpecialTokens::count() + 256;
        if (min..=MAX_VOCAB).contains(&vocab) {
            return Ok(());
        }
        let num_special = SpecialTokens::count();
        let expected =
            format!("{min} to {MAX_VOCAB} ({num_special} special tokens, 256 bytes, and the learned tokens)");
        Err(DataError::Config { key, found: vocab.to_string(), expected })
    }
}

/// Largest vocabulary that can be trained.
pub(super) const MAX_VOCAB: usize = 1 << 20;
