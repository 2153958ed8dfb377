//! Text to tokens and back. Every text survives the way there and back unchanged; special tokens never come from text.

mod bytes;
mod config;
mod encoder;
mod merges;
mod saved;
mod specials;
mod stream;
#[cfg(test)]
mod tests;
mod train;
mod vocabulary;
mod words;

use crate::DataError;
pub use config::{TokenizerConfig, VocabConfig};
pub use encoder::Encoder;
use saved::{Kind, Saved};
use sha2::{Digest, Sha256};
pub use specials::{SENTINELS, Specials};
use std::{collections::HashMap, ops::Range, sync::Arc};
pub use stream::StreamDecoder;
use tokenizers::ModelWrapper;
pub use train::TRAINING_TEXT;
pub use vocabulary::Vocabulary;

/// A trained tokenizer. All of it is in its `tokenizer.json`, which the `tokenizers` library reads too.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    json: String,
    scheme: Scheme,
    vocabulary: Arc<Vocabulary>,
}

/// How text becomes ids.
#[derive(Clone, Debug)]
enum Scheme {
    /// Byte by byte.
    Byte(Vec<u32>),
    /// Character by character, unknown ones by their bytes.
    Character(HashMap<char, u32>, Vec<u32>),
    /// Word by word, each merged by the model.
    Bpe(Box<ModelWrapper>),
}

/// Tokens of a text with their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Which bytes of the text each token stands for. They may cut a character.
    pub offsets: Vec<Range<usize>>,
    /// Each token for people's eyes.
    pub tokens: Vec<String>,
}

impl Tokenizer {
    /// Learns a tokenizer from the first [`TRAINING_TEXT`] bytes of texts: the same from the same texts, everywhere.
    /// [`Split::sample`](crate::Split::sample) chooses texts for it.
    pub fn train<S: AsRef<str>>(
        config: &TokenizerConfig,
        texts: impl IntoIterator<Item = Result<S, DataError>>,
    ) -> Result<Self, DataError> {
        Self::from_json(&train::train(config, texts.into_iter())?)
    }

    /// Reads the text of a `tokenizer.json`.
    pub fn from_json(json: &str) -> Result<Self, DataError> {
        let saved = Saved::read(json)?;
        let (specials, kind) = (saved.specials()?, saved.kind()?);
        let pieces = saved.pieces(kind)?;
        let scheme = Scheme::new(kind, json, &saved)?;
        Ok(Self { json: json.into(), scheme, vocabulary: Arc::new(Vocabulary::new(pieces, specials)) })
    }

    /// The text of its `tokenizer.json`.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of its `tokenizer.json`, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        crate::hex(&Sha256::digest(&self.json))
    }

    /// Number of tokens, special ones included: ids are below it.
    pub fn vocab(&self) -> usize {
        self.vocabulary.size()
    }

    /// Its tokens, for those who need no more of it.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Ids of the special tokens.
    pub fn specials(&self) -> &Specials {
        self.vocabulary.specials()
    }

    /// Ids of a text, without special tokens: their names in the text are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        Encoder::new(self).encode(text)
    }

    /// The same with the place of each token.
    pub fn encode_full(&self, text: &str) -> Encoding {
        let ids = self.encode(text);
        let mut end = 0;
        let length = |id: &u32| self.vocabulary.bytes(*id).len();
        let offset = |id: &u32| {
            let start = end;
            end += length(id);
            start..end
        };
        let offsets = ids.iter().map(offset).collect();
        let tokens = ids.iter().map(|id| self.token(*id)).collect();
        Encoding { ids, offsets, tokens }
    }

    /// The text of tokens; special ones have none. Bytes that make no character become the replacement character.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let pieces = ids.iter().map(|id| self.bytes(*id)).collect::<Result<Vec<_>, _>>()?;
        Ok(String::from_utf8_lossy(&pieces.concat()).into_owned())
    }

    /// The bytes that a token stands for, none for a special one.
    pub fn bytes(&self, id: u32) -> Result<&[u8], DataError> {
        let piece = self.vocabulary.pieces.get(id as usize).ok_or(DataError::Id { id, vocab: self.vocab() })?;
        Ok(piece.as_deref().unwrap_or_default())
    }

    /// A token for people's eyes: its text, the name of a special token, `<0xC3>` for bytes that cut a character.
    pub fn token(&self, id: u32) -> String {
        match self.vocabulary.pieces.get(id as usize) {
            None | Some(None) => self.specials().name(id).unwrap_or_else(|| format!("<{id}>")),
            Some(Some(piece)) => match std::str::from_utf8(piece) {
                Ok(text) => text.chars().map(visible).collect(),
                Err(_) => piece.iter().map(|byte| bytes::fallback(*byte)).collect(),
            },
        }
    }

    /// Whether an id stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocabulary.is_special(id)
    }
}

fn visible(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

impl Scheme {
    fn new(kind: Kind, json: &str, saved: &Saved) -> Result<Self, DataError> {
        let bytes = saved.bytes(kind)?;
        Ok(match kind {
            Kind::Byte => Self::Byte(bytes),
            Kind::Character => Self::Character(saved.characters(), bytes),
            Kind::Bpe => {
                let whole = tokenizers::Tokenizer::from_bytes(json).map_err(train::broken)?;
                Self::Bpe(Box::new(whole.get_model().clone()))
            }
        })
    }
}
