//! Text to tokens and back.
//!
//! With a tokenizer that Kiln trained, every text survives the way there and back unchanged, and special tokens never
//! come from text. Anybody else's `tokenizer.json` does what it says: it may change text on the way, and it recognises
//! the names of its special tokens.

mod bytes;
mod charsmap;
mod config;
pub mod convert;
mod encoder;
mod encoding;
#[cfg(feature = "files")]
pub mod folder;
mod foreign;
mod learn;
mod merges;
mod prepare;
mod roles;
mod saved;
mod specials;
mod stream;
#[cfg(test)]
mod tests;
mod train;
mod vocabulary;
mod words;

use crate::DataError;
pub use config::{FileConfig, TokenizerConfig, VocabConfig};
pub use convert::Carried;
pub use encoder::Encoder;
pub use encoding::{Encoding, End, Padding, Preparation};
use foreign::{Foreign, Found};
pub use learn::{Learned, learn};
pub use roles::Roles;
use saved::{Kind, Saved};
use sha2::{Digest, Sha256};
pub use specials::{Role, SENTINELS, Specials};
use std::{collections::HashMap, sync::Arc};
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
    /// As the `tokenizers` library does.
    Foreign(Arc<Foreign>),
}

impl Tokenizer {
    /// Learns a tokenizer from the first [`TRAINING_TEXT`] bytes of texts: the same from the same texts, everywhere. One
    /// that is in a file is read, and the texts are not.
    /// [`Split::sample`](crate::Split::sample) chooses texts for it.
    pub fn train<S: AsRef<str>>(
        config: &TokenizerConfig,
        texts: impl IntoIterator<Item = Result<S, DataError>>,
    ) -> Result<Self, DataError> {
        Self::from_json(&train::train(config, texts.into_iter())?)
    }

    /// Reads the text of a `tokenizer.json`: one that Kiln trained, else whatever the `tokenizers` library reads.
    ///
    /// # Errors
    /// If it is damaged, or some text could not be encoded with it, or not always in the same way.
    pub fn from_json(json: &str) -> Result<Self, DataError> {
        if !Saved::is_ours(json) {
            let Found { foreign, pieces, specials } = Foreign::read(json)?;
            let vocabulary = Arc::new(Vocabulary::new(pieces, specials));
            return Ok(Self { json: json.into(), scheme: Scheme::Foreign(Arc::new(foreign)), vocabulary });
        }
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

    /// Whether Kiln trained it.
    pub fn is_own(&self) -> bool {
        self.foreign().is_none()
    }

    fn foreign(&self) -> Option<&Foreign> {
        if let Scheme::Foreign(foreign) = &self.scheme { Some(foreign) } else { None }
    }

    /// Ids of the tokens that have a role, as the tokenizer's files say.
    pub fn roles(&self) -> Roles {
        let own = |s: &Specials| Roles {
            bos: Some(s.bos),
            eos: Some(s.eos),
            pad: Some(s.pad),
            mask: Some(s.mask),
            sep: Some(s.sep),
            ..Roles::default()
        };
        self.foreign().map_or_else(|| own(self.specials()), |foreign| foreign.roles.clone())
    }

    /// The longest text that its file allows, in tokens; nothing is cut unless it is asked for.
    pub fn longest(&self) -> Option<usize> {
        self.foreign()?.truncation
    }

    /// The bytes of a text that the tokenizer leaves out, in order of their numbers: those that a byte-level vocabulary of
    /// others lacks, as some do rare control characters. None of a tokenizer that Kiln trained.
    pub fn unspelt(&self, text: &str) -> Vec<u8> {
        let absent = self.foreign().map_or(&[][..], |foreign| &foreign.unspelt);
        absent.iter().copied().filter(|byte| text.as_bytes().contains(byte)).collect()
    }

    /// The text of tokens; special ones have none. Bytes that make no character become the replacement character.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let Some(foreign) = self.foreign() else {
            let pieces = ids.iter().map(|id| self.bytes(*id)).collect::<Result<Vec<_>, _>>()?;
            return Ok(String::from_utf8_lossy(&pieces.concat()).into_owned());
        };
        let names = ids.iter().map(|id| self.spoken(foreign, *id)).collect::<Result<Vec<_>, _>>()?;
        foreign.text(names.into_iter().flatten().map(str::to_string).collect())
    }

    /// The name of a token that has text.
    fn spoken<'a>(&self, foreign: &'a Foreign, id: u32) -> Result<Option<&'a str>, DataError> {
        self.bytes(id)?;
        Ok(foreign.names[id as usize].as_deref().filter(|_| !self.is_special(id)))
    }

    /// The bytes that a token stands for, none for a special one.
    pub fn bytes(&self, id: u32) -> Result<&[u8], DataError> {
        let piece = self.vocabulary.pieces.get(id as usize).ok_or(DataError::Id { id, vocab: self.vocab() })?;
        Ok(piece.as_deref().unwrap_or_default())
    }

    /// A token for people's eyes: its text, the name of a special token, `<0xC3>` for bytes that cut a character.
    /// Of somebody else's tokenizer, the token as its vocabulary spells it.
    pub fn token(&self, id: u32) -> String {
        if let Some(foreign) = self.foreign() {
            return foreign.show(id);
        }
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
