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
mod merges;
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
pub use config::{TokenizerConfig, VocabConfig};
pub use convert::Carried;
pub use encoder::Encoder;
pub use encoding::{Encoding, End, Padding, Preparation};
use foreign::{Foreign, Found};
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
    /// Learns a tokenizer from the first [`TRAINING_TEXT`] bytes of texts: the same from the same texts, everywhere.
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

    /// Ids of a text, without the special tokens that a tokenizer may add. With a tokenizer that Kiln trained, names of
    /// special tokens in the text are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        Encoder::new(self).encode(text)
    }

    /// The same with the place of each token.
    pub fn encode_full(&self, text: &str) -> Encoding {
        let how = Preparation { special: false, truncation: None };
        self.prepare(text, None, &how).unwrap_or_default()
    }

    /// A text, or a pair of them, as the tokenizer gives it to its model: with the special tokens that it adds. One that
    /// Kiln trained adds none.
    ///
    /// # Errors
    /// If the tokenizer fails, or a pair is given to one that Kiln trained.
    pub fn prepare(&self, text: &str, pair: Option<&str>, how: &Preparation) -> Result<Encoding, DataError> {
        match (self.foreign(), pair) {
            (Some(foreign), pair) => foreign.prepare(text, pair, how),
            (None, None) => Ok(self.placed(text, how)),
            (None, Some(_)) => Err(train::broken("a tokenizer that Kiln trained has no form for a pair of texts")),
        }
    }

    fn placed(&self, text: &str, how: &Preparation) -> Encoding {
        let ids = self.encode(text);
        let mut end = 0;
        let offset = |id: &u32| {
            let start = end;
            end += self.vocabulary.bytes(*id).len();
            start..end
        };
        let offsets: Vec<_> = ids.iter().map(offset).collect();
        let kept = match how.truncation {
            Some((most, End::Left)) => ids.len() - most.min(ids.len())..ids.len(),
            Some((most, End::Right)) => 0..most.min(ids.len()),
            None => 0..ids.len(),
        };
        let ids = ids[kept.clone()].to_vec();
        let tokens = ids.iter().map(|id| self.token(*id)).collect();
        let (types, live) = (vec![0; ids.len()], vec![true; ids.len()]);
        Encoding { ids, offsets: offsets[kept].to_vec(), tokens, types, live }
    }

    /// Ids of a text that a model is to go on from: as somebody else's tokenizer prepares it, or behind `first`, which
    /// also stands where there is no token at all.
    pub fn opening(&self, first: u32, text: &str) -> Vec<u32> {
        let Some(foreign) = self.foreign() else { return [vec![first], self.encode(text)].concat() };
        let ids = foreign.prepare(text, None, &Preparation::default()).unwrap_or_default().ids;
        // What stands behind the text would end it.
        let ids = match ids.split_last() {
            Some((last, before)) if Some(*last) == foreign.roles.eos && !text.is_empty() => before.to_vec(),
            _ => ids,
        };
        if ids.is_empty() { vec![first] } else { ids }
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
