//! [`HfTokenizer`]: a `tokenizer.json` that Kiln did not write, run by Hugging Face's `tokenizers` library.
//!
//! `validate` rejects files at which the library would panic, fail for some texts, or behave randomly, so that encoding
//! a text cannot fail later. `encode` is text to ids, `stream` is decoding token by token.

mod encode;
mod stream;
#[cfg(test)]
mod tests;
mod validate;

use super::{
    byte_encoding::{from_byte_fallback, from_byte_level},
    encoding::EncodeOptions,
    pretrained::clean_up,
    roles::TokenRoles,
    special_tokens::SpecialTokens,
};
use crate::DataError;
use serde_json::Value;
use std::fmt;
pub(crate) use stream::{CONTEXT_TOKENS, StreamState};
use tokenizers::{Decoder, PostProcessorWrapper, Tokenizer as Pipeline};
pub(crate) use validate::{has_part_type, part_types};

/// Tokenizer that Kiln did not train.
pub(crate) struct HfTokenizer {
    /// The pipeline without post-processor, truncation and padding.
    pipeline: Pipeline,
    /// Adds special tokens. Separate from the pipeline, because texts are truncated before it.
    post_processor: Option<PostProcessorWrapper>,
    pub roles: TokenRoles,
    /// Names of the tokens by id; `None` for unused ids.
    pub token_names: Vec<Option<String>>,
    /// `truncation.max_length` of the file.
    pub max_length: Option<usize>,
    /// Bytes that the vocabulary lacks and that no unknown token replaces: encoding drops them.
    pub unencodable: Vec<u8>,
    /// Whether text that no probe token changes stays unchanged: see [`stream::can_stream`].
    can_stream: bool,
    /// Whether the decoder joins `<0xC3>` `<0xA9>` to a character.
    has_byte_fallback: bool,
    /// Whether the decoder removes spaces before punctuation: see `clean_up`.
    cleans_up: bool,
}

impl fmt::Debug for HfTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let num_tokens = self.token_names.len();
        f.debug_struct("HfTokenizer").field("num_tokens", &num_tokens).field("roles", &self.roles).finish()
    }
}

/// A loaded `tokenizer.json`.
pub(crate) struct LoadedHfTokenizer {
    pub tokenizer: HfTokenizer,
    /// Bytes of each token by id; `None` for special tokens and unused ids.
    pub token_bytes: Vec<Option<Vec<u8>>>,
    pub special_tokens: SpecialTokens,
}

impl HfTokenizer {
    /// Loads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] with the key that is invalid or unsupported.
    pub fn from_json(json: &str) -> Result<LoadedHfTokenizer, DataError> {
        let mut file: Value =
            serde_json::from_str(json).map_err(|error| DataError::tokenizer(format!("invalid JSON: {error}")))?;
        if !file["model"].is_object() {
            return Err(DataError::tokenizer("the file has no section `model`: it is not a tokenizer.json"));
        }
        validate::check(&file)?;
        let max_length = file["truncation"]["max_length"].as_u64().map(|length| length as usize);
        (file["truncation"], file["padding"]) = (Value::Null, Value::Null);
        let added = file["added_tokens"].as_array().cloned().unwrap_or_default();
        let cleans_up = clean_up::take_from_decoder(&mut file["decoder"]);
        let decoder_types = validate::part_types(&file["decoder"]);
        let unencodable = validate::unencodable_bytes(&file);
        let mut pipeline: Pipeline = serde_json::from_value(file).map_err(DataError::tokenizer)?;
        validate::check_added_tokens(&pipeline, &added)?;
        let post_processor = pipeline.get_post_processor().cloned();
        pipeline.with_post_processor(None::<PostProcessorWrapper>);
        let tokenizer = Self {
            post_processor,
            roles: TokenRoles::from_added_tokens(&added, |name| pipeline.token_to_id(name)),
            token_names: collect_token_names(&pipeline),
            max_length,
            unencodable,
            can_stream: stream::can_stream(&decoder_types),
            cleans_up,
            has_byte_fallback: decoder_types.iter().any(|kind| kind == "ByteFallback"),
            pipeline,
        };
        tokenizer.check_post_processor()?;
        let token_bytes = tokenizer.collect_token_bytes(&decoder_types)?;
        let special_tokens = SpecialTokens::from_roles(&tokenizer.roles, |name| tokenizer.pipeline.token_to_id(name));
        Ok(LoadedHfTokenizer { tokenizer, token_bytes, special_tokens })
    }

    /// Encodes a text and a pair once: the post-processor must not fail, and must add only ids that are tokens.
    fn check_post_processor(&self) -> Result<(), DataError> {
        for pair in [None, Some("b")] {
            let encoding = self.encode_raw("a \u{1F642}", pair, &EncodeOptions::default())?;
            if let Some(id) = encoding.get_ids().iter().find(|id| self.token_name(**id).is_none()) {
                let reason = format!("`post_processor` adds the id {id}, which is not a token");
                return Err(DataError::tokenizer(reason));
            }
        }
        Ok(())
    }

    fn token_name(&self, id: u32) -> Option<&String> {
        self.token_names.get(id as usize)?.as_ref()
    }

    /// Text of tokens given by their names.
    pub fn decode(&self, tokens: Vec<String>) -> Result<String, DataError> {
        Ok(self.clean(self.decode_uncleaned(tokens)?))
    }

    /// The text without spaces before punctuation, if the decoder removes them.
    fn clean(&self, text: String) -> String {
        if self.cleans_up { clean_up::clean(&text) } else { text }
    }

    /// Text of tokens before [`clean`](Self::clean). Without a decoder in the file they are joined by spaces.
    fn decode_uncleaned(&self, tokens: Vec<String>) -> Result<String, DataError> {
        if tokens.is_empty() {
            return Ok(String::new());
        }
        match self.pipeline.get_decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(DataError::tokenizer),
            None => Ok(tokens.join(" ")),
        }
    }

    /// Whether a name is a special token's: decoding leaves it out.
    pub fn is_special(&self, name: &str) -> bool {
        self.pipeline.get_added_vocabulary().is_special_token(name)
    }

    /// Whether a name is that of an added token, special or not.
    fn is_added(&self, name: &str) -> bool {
        self.pipeline.get_added_vocabulary().get_vocab().contains_key(name)
    }

    /// Name of a token; `<id>` for an unused id.
    pub fn id_to_token(&self, id: u32) -> String {
        self.token_name(id).cloned().unwrap_or_else(|| format!("<{id}>"))
    }

    /// Bytes of each token by id, as it stands within a text; `None` for special tokens and unused ids.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if no token stands for text.
    fn collect_token_bytes(&self, decoder_types: &[String]) -> Result<Vec<Option<Vec<u8>>>, DataError> {
        let byte_level = decoder_types.iter().any(|kind| kind == "ByteLevel");
        let prefix_text = self.decode_uncleaned(vec![PREFIX_TOKEN.to_string()])?;
        let mut token_bytes = Vec::with_capacity(self.token_names.len());
        for name in &self.token_names {
            token_bytes.push(match name {
                Some(name) if !self.is_special(name) => Some(self.bytes_of(name, byte_level, &prefix_text)?),
                _ => None,
            });
        }
        if token_bytes.iter().flatten().all(Vec::is_empty) {
            return Err(DataError::tokenizer("no token of `model.vocab` stands for text"));
        }
        Ok(token_bytes)
    }

    /// Bytes of a token that is not special. Where neither alphabet spells them, they are what the token adds to the
    /// text of [`PREFIX_TOKEN`]: many decoders treat the first token of a text differently.
    fn bytes_of(&self, name: &str, byte_level: bool, prefix_text: &str) -> Result<Vec<u8>, DataError> {
        if self.is_added(name) {
            return Ok(name.as_bytes().to_vec());
        }
        if byte_level {
            return Ok(from_byte_level(name).unwrap_or_else(|| name.as_bytes().to_vec()));
        }
        if let Some(byte) = from_byte_fallback(name).filter(|_| self.has_byte_fallback) {
            return Ok(vec![byte]);
        }
        let text = self.decode_uncleaned(vec![PREFIX_TOKEN.to_string(), name.to_string()])?;
        Ok(text.strip_prefix(prefix_text).unwrap_or(&text).as_bytes().to_vec())
    }
}

/// An ordinary token in front of the one whose bytes are determined.
const PREFIX_TOKEN: &str = "x";

/// Names of all tokens by id, up to the largest id.
fn collect_token_names(pipeline: &Pipeline) -> Vec<Option<String>> {
    let vocab = pipeline.get_vocab(true);
    let size = vocab.values().max().map_or(0, |id| *id as usize + 1);
    (0..size as u32).map(|id| pipeline.id_to_token(id)).collect()
}
