//! Text to tokens and back.
//!
//! With a tokenizer that Kiln trained, every text survives the way there and back unchanged, and special tokens never
//! come from text. Anybody else's `tokenizer.json` does what it says: it may change text on the way, and it recognises
//! the names of its special tokens.

mod bpe;
mod byte_encoding;
mod charsmap;
mod config;
pub mod convert;
mod encode;
mod encoder;
mod encoding;
mod hf;
mod pre_tokenizer;
pub mod pretrained;
mod roles;
mod special_tokens;
mod stream;
mod subword;
#[cfg(test)]
mod tests;
mod tokenizer_json;
mod train;
mod vocabulary;

use crate::DataError;
pub use config::{TokenizerConfig, TokenizerFileConfig, VocabConfig};
pub use convert::GgufTokenizer;
pub use encoder::CachingEncoder;
pub use encoding::{EncodeOptions, Encoding, PaddingOptions, TextSide};
use hf::{HfTokenizer, LoadedHfTokenizer};
pub use roles::TokenRoles;
use sha2::{Digest, Sha256};
pub use special_tokens::{NUM_SENTINELS, SpecialTokens, TokenRole};
use std::{collections::HashMap, sync::Arc};
pub use stream::StreamDecoder;
pub use subword::{SubwordModel, train_subword};
use tokenizer_json::{TokenizerJson, VocabularyKind};
use tokenizers::ModelWrapper;
pub use train::MAX_TRAINING_BYTES;
pub(crate) use train::tokenizer_error;
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
    Hf(Arc<HfTokenizer>),
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
        if !TokenizerJson::is_kiln_trained(json) {
            let LoadedHfTokenizer { tokenizer: foreign, token_bytes: pieces, special_tokens: specials } =
                HfTokenizer::from_json(json)?;
            let vocabulary = Arc::new(Vocabulary::new(pieces, specials));
            return Ok(Self { json: json.into(), scheme: Scheme::Hf(Arc::new(foreign)), vocabulary });
        }
        let saved = TokenizerJson::parse(json)?;
        let (specials, kind) = (saved.special_tokens()?, saved.kind()?);
        let pieces = saved.token_bytes(kind)?;
        let scheme = Scheme::new(kind, json, &saved)?;
        Ok(Self { json: json.into(), scheme, vocabulary: Arc::new(Vocabulary::new(pieces, specials)) })
    }

    /// The text of its `tokenizer.json`.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of its `tokenizer.json`, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        crate::to_hex(&Sha256::digest(&self.json))
    }

    /// Number of tokens, special ones included: ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.size()
    }

    /// Its tokens, for those who need no more of it.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        self.vocabulary.special_tokens()
    }

    /// Whether Kiln trained it.
    pub fn is_kiln_trained(&self) -> bool {
        self.as_hf().is_none()
    }

    fn as_hf(&self) -> Option<&HfTokenizer> {
        if let Scheme::Hf(foreign) = &self.scheme { Some(foreign) } else { None }
    }

    /// Ids of the tokens that have a role, as the tokenizer's files say.
    pub fn token_roles(&self) -> TokenRoles {
        let own = |s: &SpecialTokens| TokenRoles {
            bos: Some(s.bos),
            eos: Some(s.eos),
            pad: Some(s.pad),
            mask: Some(s.mask),
            sep: Some(s.sep),
            ..TokenRoles::default()
        };
        self.as_hf().map_or_else(|| own(self.special_tokens()), |foreign| foreign.roles.clone())
    }

    /// The longest text that its file allows, in tokens; nothing is cut unless it is asked for.
    pub fn max_length(&self) -> Option<usize> {
        self.as_hf()?.max_length
    }

    /// The bytes of a text that the tokenizer leaves out, in order of their numbers: those that a byte-level vocabulary of
    /// others lacks, as some do rare control characters. None of a tokenizer that Kiln trained.
    pub fn unencodable(&self, text: &str) -> Vec<u8> {
        let absent = self.as_hf().map_or(&[][..], |foreign| &foreign.unencodable);
        absent.iter().copied().filter(|byte| text.as_bytes().contains(byte)).collect()
    }

    /// The text of tokens; special ones have none. Bytes that make no character become the replacement character.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let Some(foreign) = self.as_hf() else {
            let pieces = ids.iter().map(|id| self.token_bytes(*id)).collect::<Result<Vec<_>, _>>()?;
            return Ok(String::from_utf8_lossy(&pieces.concat()).into_owned());
        };
        let names = ids.iter().map(|id| self.text_token_name(foreign, *id)).collect::<Result<Vec<_>, _>>()?;
        foreign.decode(names.into_iter().flatten().map(str::to_string).collect())
    }

    /// The name of a token that has text.
    fn text_token_name<'a>(&self, foreign: &'a HfTokenizer, id: u32) -> Result<Option<&'a str>, DataError> {
        self.token_bytes(id)?;
        Ok(foreign.token_names[id as usize].as_deref().filter(|_| !self.is_special(id)))
    }

    /// The bytes that a token stands for, none for a special one.
    pub fn token_bytes(&self, id: u32) -> Result<&[u8], DataError> {
        let piece = self
            .vocabulary
            .token_bytes
            .get(id as usize)
            .ok_or(DataError::TokenId { token_id: id, vocab_size: self.vocab_size() })?;
        Ok(piece.as_deref().unwrap_or_default())
    }

    /// A token for people's eyes: its text, the name of a special token, `<0xC3>` for bytes that cut a character.
    /// Of somebody else's tokenizer, the token as its vocabulary spells it.
    pub fn id_to_token(&self, id: u32) -> String {
        if let Some(foreign) = self.as_hf() {
            return foreign.id_to_token(id);
        }
        match self.vocabulary.token_bytes.get(id as usize) {
            None | Some(None) => self.special_tokens().name_of(id).unwrap_or_else(|| format!("<{id}>")),
            Some(Some(piece)) => match std::str::from_utf8(piece) {
                Ok(text) => text.chars().map(escape_control).collect(),
                Err(_) => piece.iter().map(|byte| byte_encoding::to_byte_fallback(*byte)).collect(),
            },
        }
    }

    /// Whether an id stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocabulary.is_special(id)
    }
}

fn escape_control(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

impl Scheme {
    fn new(kind: VocabularyKind, json: &str, saved: &TokenizerJson) -> Result<Self, DataError> {
        let bytes = saved.byte_ids(kind)?;
        Ok(match kind {
            VocabularyKind::Byte => Self::Byte(bytes),
            VocabularyKind::Character => Self::Character(saved.character_ids(), bytes),
            VocabularyKind::Bpe => {
                let whole = tokenizers::Tokenizer::from_bytes(json).map_err(train::tokenizer_error)?;
                Self::Bpe(Box::new(whole.get_model().clone()))
            }
        })
    }
}
