//! `[tokenizer]`: what a token is.

use crate::DataError;
use crate::tokenizer::Specials;
use kiln_spec::config::Nothing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// What a token is. Whatever is chosen, every text survives encoding and decoding unchanged.
    pub enum TokenizerConfig {
        /// One byte.
        "byte" => Byte(Nothing),
        /// One character; rare ones are spelt in bytes.
        "character" => Character(VocabConfig),
        /// A frequent sequence of bytes, learned by pair merging (BPE, 1508.07909).
        "bpe" => Bpe(VocabConfig),
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self::Bpe(VocabConfig::default())
    }
}

/// How many tokens there may be.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct VocabConfig {
    /// The most tokens, special ones and the 256 bytes included. Little text gives fewer.
    pub vocab: usize,
}

impl Default for VocabConfig {
    fn default() -> Self {
        Self { vocab: 1024 }
    }
}

impl TokenizerConfig {
    /// Refuses a vocabulary that doesn't hold the bytes and special tokens, or that no model could use.
    pub fn check(&self) -> Result<(), DataError> {
        let (key, vocab) = match self {
            Self::Byte(_) => return Ok(()),
            Self::Character(config) => ("tokenizer.character.vocab", config.vocab),
            Self::Bpe(config) => ("tokenizer.bpe.vocab", config.vocab),
        };
        let (least, most) = (Specials::count() + 256, 1 << 20);
        let expected =
            format!("{least} to {most}: {} special tokens, 256 bytes, and what is learned", Specials::count());
        let error = || DataError::Config { key, found: vocab.to_string(), expected };
        (least..=most).contains(&vocab).then_some(()).ok_or_else(error)
    }
}
