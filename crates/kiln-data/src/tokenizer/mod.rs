//! Tokenizers: text to token ids and back.
//!
//! A [`Tokenizer`] is read-only, and the text of its `tokenizer.json` ([`Tokenizer::to_json`]) describes it completely.
//! That file has the format of Hugging Face's `tokenizers` library, which loads it, too.
//!
//! | kind | one token is | algorithm | lossless |
//! |---|---|---|---|
//! | `byte` | a byte of UTF-8 | no training (as ByT5, 2105.13626) | yes |
//! | `character` | a frequent character, or a byte of another one | counting | yes |
//! | `bpe` | a sequence of bytes within a word | byte-level BPE: pair merging (1508.07909) on bytes (GPT-2, Radford et al. 2019, §2.2) | yes |
//! | [`SubwordModel::WordPiece`] | a word or a part of one (`##ing`) | longest match first (1609.08144, 1810.04805) | no |
//! | [`SubwordModel::Unigram`] | a sequence of characters | most probable segmentation (1804.10959) | yes, without names of special tokens |
//! | any `tokenizer.json` | depends on the file | depends on the file | depends on the file |
//!
//! The first three are *trained by Kiln* ([`Tokenizer::is_kiln_trained`]). They share their first 41 ids
//! ([`SpecialTokens`]), and the name of a special token in a text is plain text to them. All others do what their file
//! says: they may normalize the text, add special tokens, and recognize the names of special tokens in it.
//! [`convert`] turns SentencePiece models, `vocab.txt`, `vocab.json` with `merges.txt`, and GGUF metadata into
//! `tokenizer.json`s; [`pretrained`] finds these files in a folder.
//!
//! # Units
//!
//! - Ids are `u32` below [`Tokenizer::vocab_size`]. The ids of a tokenizer trained by Kiln have no gaps.
//! - Offsets ([`Encoding::offsets`]) are half-open ranges of bytes in the text that was given, before normalization.
//! - Maximum lengths and truncation count tokens, special ones included.
//!
//! # Sections of a `tokenizer.json`
//!
//! A text passes through the sections in this order
//! (<https://huggingface.co/docs/tokenizers/pipeline>):
//!
//! | section | effect |
//! |---|---|
//! | `added_tokens` | names that are matched in the text first; `special` ones are left out by decoding |
//! | `normalizer` | Unicode normalization, lowercasing, replacement of spaces |
//! | `pre_tokenizer` | splits the text into words: no token crosses a word |
//! | `model` | splits words into tokens: `BPE`, `WordPiece`, `Unigram` or `WordLevel`, with `vocab` and `merges` |
//! | `post_processor` | adds special tokens, such as `[CLS]` and `[SEP]` |
//! | `decoder` | joins the names of tokens to text |
//! | `truncation`, `padding` | not applied; `truncation.max_length` is [`Tokenizer::max_length`] |
//!
//! Kiln writes one key of its own: `added_tokens[…].roles`, the roles of a token as in [`TokenRoles`].
//!
//! # Example
//!
//! ```
//! use kiln_data::{Tokenizer, TokenizerConfig, tokenizer::VocabConfig};
//!
//! let config = TokenizerConfig::Bpe(VocabConfig { vocab: 300 });
//! let tokenizer = Tokenizer::train(&config, ["the cat and the hat"; 9].map(Ok))?;
//! let ids = tokenizer.encode("the hat");
//! assert_eq!(tokenizer.decode(&ids)?, "the hat");
//! assert_eq!(Tokenizer::from_json(tokenizer.to_json())?.encode("the hat"), ids);
//! # Ok::<(), kiln_data::DataError>(())
//! ```

mod bpe;
mod byte_encoding;
mod charsmap;
mod config;
pub mod convert;
mod encode;
mod encoding;
#[cfg(test)]
mod fixtures;
mod hf;
mod model_rows;
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

use crate::{
    DataError,
    pause::{Pause, complete, no_pause},
};
pub use config::{TokenizerConfig, TokenizerFileConfig, VocabConfig};
pub use convert::GgufTokenizer;
pub use encode::CachingEncoder;
pub use encoding::{EncodeOptions, Encoding, PaddingOptions, TextSide};
use hf::HfTokenizer;
pub use roles::TokenRoles;
pub(crate) use roles::token_content;
#[cfg(test)]
pub(crate) use roles::write_roles;
use sha2::{Digest, Sha256};
pub use special_tokens::{NUM_SENTINELS, SpecialTokens, TokenRole};
use std::{collections::HashMap, sync::Arc};
pub use stream::StreamDecoder;
pub use subword::{SubwordModel, train_subword};
use tokenizer_json::{TokenizerJson, VocabularyKind};
use tokenizers::ModelWrapper;
pub use train::MAX_TRAINING_BYTES;
pub use vocabulary::Vocabulary;

/// Tokenizer: encodes text to token ids and decodes ids to text. See the [module](self) for the kinds.
///
/// For many texts use a [`CachingEncoder`]; for ids that arrive one by one, a [`StreamDecoder`]. Cloning copies the
/// model and the `tokenizer.json`: share a tokenizer by reference or in an `Arc`.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    json: String,
    scheme: Scheme,
    vocabulary: Arc<Vocabulary>,
    /// `model_max_length` of the folder's `tokenizer_config.json`.
    model_max_length: Option<usize>,
}

/// Encoding algorithm of a tokenizer.
#[derive(Clone, Debug)]
enum Scheme {
    /// One token a byte: the id of each byte.
    Byte(Vec<u32>),
    /// One token a character: the ids of characters, and of the 256 bytes for characters that have none.
    Character(HashMap<char, u32>, Vec<u32>),
    /// Byte-level BPE: the model merges the bytes of each word.
    Bpe(Box<ModelWrapper>),
    /// A pipeline of the `tokenizers` library.
    Hf(Arc<HfTokenizer>),
}

impl Tokenizer {
    /// Trains a tokenizer on the first [`MAX_TRAINING_BYTES`] bytes of `texts`. The same texts give the same
    /// `tokenizer.json` on every machine. [`TokenizerConfig::File`] loads a file instead and reads no texts.
    ///
    /// [`ValidationSplit::training_sample`](crate::ValidationSplit::training_sample) chooses texts spread over a
    /// source.
    ///
    /// # Errors
    /// [`DataError::Config`] for a vocabulary size out of range, the error of a text, or that of loading the file.
    pub fn train<S: AsRef<str>>(
        config: &TokenizerConfig,
        texts: impl IntoIterator<Item = Result<S, DataError>>,
    ) -> Result<Self, DataError> {
        complete(Self::train_async(config, texts, no_pause))
    }

    /// [`train`](Self::train) with pauses.
    ///
    /// # Errors
    /// As [`train`](Self::train), and those of the pause.
    pub async fn train_async<S: AsRef<str>>(
        config: &TokenizerConfig,
        texts: impl IntoIterator<Item = Result<S, DataError>>,
        mut pause: impl Pause,
    ) -> Result<Self, DataError> {
        Self::from_json(&train::train(config, texts.into_iter(), &mut pause).await?)
    }

    /// Loads a tokenizer from the text of a `tokenizer.json`: a file written by Kiln, or any file that the `tokenizers`
    /// library loads.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if the file is invalid, if some text could not be encoded with it (a vocabulary
    /// without an unknown token), or if the same text could give different ids (BPE dropout).
    pub fn from_json(json: &str) -> Result<Self, DataError> {
        if !TokenizerJson::is_kiln_trained(json) {
            let loaded = HfTokenizer::from_json(json)?;
            let vocabulary = Vocabulary::new(loaded.token_bytes, loaded.special_tokens);
            let vocabulary = Arc::new(vocabulary.with_written_names(&loaded.tokenizer.token_names));
            return Ok(Self::new(json, Scheme::Hf(Arc::new(loaded.tokenizer)), vocabulary));
        }
        let file = TokenizerJson::parse(json)?;
        let special_tokens = file.special_tokens()?;
        let kind = file.kind()?;
        let token_bytes = file.token_bytes(kind)?;
        let scheme = Scheme::new(kind, json, &file)?;
        Ok(Self::new(json, scheme, Arc::new(Vocabulary::new(token_bytes, special_tokens))))
    }

    fn new(json: &str, scheme: Scheme, vocabulary: Arc<Vocabulary>) -> Self {
        Self { json: json.into(), scheme, vocabulary, model_max_length: None }
    }

    /// The tokenizer with the maximum text length that its folder declares.
    fn with_model_max_length(self, model_max_length: Option<usize>) -> Self {
        Self { model_max_length, ..self }
    }

    /// Text of the tokenizer's `tokenizer.json`.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of [`to_json`](Self::to_json), as 64 hexadecimal digits. Runs save it to detect a changed tokenizer.
    pub fn fingerprint(&self) -> String {
        crate::to_hex(&Sha256::digest(&self.json))
    }

    /// Number of tokens, special ones included. All ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.size()
    }

    /// The vocabulary: bytes of each token and special tokens, without the encoding algorithm.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Ids of the special tokens. In a tokenizer that Kiln did not train some may be missing: see
    /// [`SpecialTokens::require_roles`].
    pub fn special_tokens(&self) -> &SpecialTokens {
        self.vocabulary.special_tokens()
    }

    /// Whether Kiln trained this tokenizer, so that it is lossless and treats names of special tokens as plain text.
    /// `false` for the tokenizers of [`train_subword`], which are ordinary `tokenizer.json`s.
    pub fn is_kiln_trained(&self) -> bool {
        self.as_hf().is_none()
    }

    fn as_hf(&self) -> Option<&HfTokenizer> {
        if let Scheme::Hf(hf) = &self.scheme { Some(hf) } else { None }
    }

    /// Ids of the tokens with a role (`bos`, `eos`, `pad`, …), as the tokenizer's files declare them.
    pub fn token_roles(&self) -> TokenRoles {
        match self.as_hf() {
            Some(hf) => hf.roles.clone(),
            None => TokenRoles::of_kiln(self.special_tokens()),
        }
    }

    /// Maximum text length in tokens that the files declare: `truncation.max_length` of the `tokenizer.json`, else
    /// `model_max_length` of the `tokenizer_config.json`. It is information only: texts are truncated only by
    /// [`EncodeOptions::truncation`].
    pub fn max_length(&self) -> Option<usize> {
        self.as_hf()?.max_length.or(self.model_max_length)
    }

    /// Bytes of `text` that the tokenizer drops, in ascending order, each once. Some byte-level vocabularies lack rare
    /// control characters and have no unknown token. Empty for a tokenizer trained by Kiln.
    pub fn unencodable(&self, text: &str) -> Vec<u8> {
        let missing = self.as_hf().map_or(&[][..], |hf| &hf.unencodable);
        missing.iter().copied().filter(|byte| text.as_bytes().contains(byte)).collect()
    }

    /// Text of token ids, without special tokens. An id without a token decodes to nothing: a model may have more rows
    /// than its tokenizer has tokens. Bytes that are not valid UTF-8 become U+FFFD, the replacement character.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if the file's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let Some(hf) = self.as_hf() else {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| self.token_bytes(*id)).copied().collect();
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        };
        hf.decode(ids.iter().filter_map(|id| self.text_token_name(hf, *id)).map(str::to_string).collect())
    }

    /// Text that `ids` add to the text of `preceding`, the ids before them. Many decoders treat the first token of a
    /// text differently, so that this is more than the decoded `ids`: `▁fox` alone is `fox`, after another word it is
    /// ` fox`.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode).
    pub fn decode_continuation(&self, preceding: &[u32], ids: &[u32]) -> Result<String, DataError> {
        let mut decoder = StreamDecoder::continuing(self, preceding)?;
        let text = ids.iter().map(|id| decoder.push(*id)).collect::<Result<String, _>>()?;
        Ok(text + &decoder.finish())
    }

    /// Name of a token that stands for text; `None` for special tokens and for ids without a token.
    fn text_token_name<'a>(&self, hf: &'a HfTokenizer, id: u32) -> Option<&'a str> {
        hf.token_names.get(id as usize)?.as_deref().filter(|_| !self.is_special(id))
    }

    /// The bytes that a token stands for; empty for a special token and for an id without a token. They need not be
    /// valid UTF-8.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.token_bytes(id)
    }

    /// Whether an id has a token. Ids without one are those from [`vocab_size`](Self::vocab_size) on, and unused ids
    /// below it.
    pub fn has_token(&self, id: u32) -> bool {
        match self.as_hf() {
            Some(hf) => hf.token_names.get(id as usize).is_some_and(Option::is_some),
            None => (id as usize) < self.vocab_size(),
        }
    }

    /// Display form of a token. For a tokenizer trained by Kiln: its text with control characters escaped, the name
    /// of a special token, or `<0xC3>` for bytes that are not valid UTF-8. For others: the name in the vocabulary.
    /// An unused id gives `<id>`.
    pub fn id_to_token(&self, id: u32) -> String {
        if let Some(hf) = self.as_hf() {
            return hf.id_to_token(id);
        }
        match self.vocabulary.token_bytes.get(id as usize) {
            None | Some(None) => self.special_tokens().name_of(id).unwrap_or_else(|| format!("<{id}>")),
            Some(Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => text.chars().map(escape_control).collect(),
                Err(_) => bytes.iter().map(|byte| byte_encoding::to_byte_fallback(*byte)).collect(),
            },
        }
    }

    /// Whether a token is special: it stands for no text, and decoding leaves it out.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocabulary.is_special(id)
    }
}

/// A character for display: control characters as Rust escapes, such as `\n`.
fn escape_control(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

impl Scheme {
    /// The algorithm of a `tokenizer.json` that Kiln wrote; its parts have been checked.
    fn new(kind: VocabularyKind, json: &str, file: &TokenizerJson) -> Result<Self, DataError> {
        let byte_ids = file.byte_ids(kind)?;
        Ok(match kind {
            VocabularyKind::Byte => Self::Byte(byte_ids),
            VocabularyKind::Character => Self::Character(file.character_ids(), byte_ids),
            VocabularyKind::Bpe => {
                let pipeline = tokenizers::Tokenizer::from_bytes(json).map_err(DataError::tokenizer)?;
                Self::Bpe(Box::new(pipeline.get_model().clone()))
            }
        })
    }
}
