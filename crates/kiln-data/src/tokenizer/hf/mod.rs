//! Anybody's `tokenizer.json`, as the `tokenizers` library understands it.

mod stream;
#[cfg(test)]
mod tests;
mod token_bytes;
mod validate;

use super::{
    encoding::{EncodeOptions, Encoding, TextSide},
    roles::TokenRoles,
    special_tokens::SpecialTokens,
    train::tokenizer_error,
};
use crate::DataError;
use serde_json::Value;
use std::fmt;
pub(crate) use stream::StreamState;
use tokenizers::{
    Decoder, DecoderWrapper, PostProcessor, PostProcessorWrapper, Tokenizer as Inner, TruncationDirection,
};
pub(crate) use validate::part_types;

/// A tokenizer that Kiln did not train.
pub(crate) struct HfTokenizer {
    /// Without what is done to whole texts: lengths and added tokens.
    inner: Inner,
    post_processor: Option<PostProcessorWrapper>,
    pub roles: TokenRoles,
    /// Names of all tokens, by id; none where an id is not used.
    pub token_names: Vec<Option<String>>,
    pub max_length: Option<usize>,
    /// Bytes that no token spells and nothing stands for: texts lose them.
    pub unencodable: Vec<u8>,
    /// Whether text shows before all of it is known.
    can_stream: bool,
    /// Whether tokens that are bytes by their numbers are put together.
    has_byte_fallback: bool,
}

impl fmt::Debug for HfTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("tokens", &self.token_names.len()).field("roles", &self.roles).finish()
    }
}

/// What is found in a `tokenizer.json`: the tokenizer, the bytes that its tokens stand for, its special tokens.
pub(crate) struct LoadedHfTokenizer {
    pub tokenizer: HfTokenizer,
    pub token_bytes: Vec<Option<Vec<u8>>>,
    pub special_tokens: SpecialTokens,
}

impl HfTokenizer {
    pub fn from_json(json: &str) -> Result<LoadedHfTokenizer, DataError> {
        let mut file: Value = serde_json::from_str(json).map_err(tokenizer_error)?;
        if !file["model"].is_object() {
            return Err(tokenizer_error("no `model` in it: not a tokenizer.json"));
        }
        validate::check(&file)?;
        let truncation = file["truncation"]["max_length"].as_u64().map(|length| length as usize);
        (file["truncation"], file["padding"]) = (Value::Null, Value::Null);
        let added = file["added_tokens"].as_array().cloned().unwrap_or_default();
        let (kinds, unspelt) = (validate::part_types(&file["decoder"]), validate::unencodable_bytes(&file));
        let mut inner: Inner = serde_json::from_value(file).map_err(tokenizer_error)?;
        validate::check_added_tokens(&inner, &added)?;
        let names = collect_token_names(&inner);
        let roles = TokenRoles::from_added_tokens(&added, |name| inner.token_to_id(name));
        let processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let (streams, spells_bytes) = (stream::can_stream(&kinds), kinds.iter().any(|kind| kind == "ByteFallback"));
        let foreign = Self {
            inner,
            post_processor: processor,
            roles,
            token_names: names,
            max_length: truncation,
            unencodable: unspelt,
            can_stream: streams,
            has_byte_fallback: spells_bytes,
        };
        foreign.check_post_processor()?;
        let pieces = token_bytes::token_bytes(&foreign, &kinds)?;
        let specials = SpecialTokens::from_roles(&foreign.roles, |name| foreign.inner.token_to_id(name));
        Ok(LoadedHfTokenizer { tokenizer: foreign, token_bytes: pieces, special_tokens: specials })
    }

    /// Whatever is wrong with what is done to every text shows at once.
    fn check_post_processor(&self) -> Result<(), DataError> {
        for pair in [None, Some("b")] {
            let found = self.encode_raw("a \u{1F642}", pair, &EncodeOptions::default())?;
            if let Some(odd) = found.get_ids().iter().find(|id| self.token_name(**id).is_none()) {
                return Err(tokenizer_error(format!("the id {odd}, which it adds to texts, is no token")));
            }
        }
        Ok(())
    }

    fn token_name(&self, id: u32) -> Option<&String> {
        self.token_names.get(id as usize)?.as_ref()
    }

    pub fn encode(&self, text: &str) -> Vec<u32> {
        // What could fail was refused when the file was read.
        self.inner.encode_fast(text, false).map(|found| found.get_ids().to_vec()).unwrap_or_default()
    }

    pub fn encode_for_model(&self, text: &str, pair: Option<&str>, how: &EncodeOptions) -> Result<Encoding, DataError> {
        let found = self.encode_raw(text, pair, how)?;
        let bytes = [text, pair.unwrap_or_default()].map(char_boundaries);
        let texts = found.get_sequence_ids();
        let place = |(i, (start, end)): (usize, &(usize, usize))| {
            let bytes = &bytes[texts[i].unwrap_or(0).min(1)];
            let at = |place: usize| bytes[place.min(bytes.len() - 1)];
            at(*start)..at(*end)
        };
        Ok(Encoding {
            ids: found.get_ids().to_vec(),
            offsets: found.get_offsets().iter().enumerate().map(place).collect(),
            tokens: found.get_tokens().to_vec(),
            type_ids: found.get_type_ids().to_vec(),
            attention_mask: vec![true; found.get_ids().len()],
        })
    }

    /// Places are counted in characters: what trims spaces off them would cut characters otherwise.
    fn encode_raw(
        &self,
        text: &str,
        pair: Option<&str>,
        how: &EncodeOptions,
    ) -> Result<tokenizers::Encoding, DataError> {
        let mut first = self.inner.encode_char_offsets(text, false).map_err(tokenizer_error)?;
        let mut second =
            pair.map(|pair| self.inner.encode_char_offsets(pair, false)).transpose().map_err(tokenizer_error)?;
        if let Some((length, end)) = how.truncation {
            let added = self.post_processor.as_ref().filter(|_| how.add_special_tokens);
            let added = added.map_or(0, |processor| processor.added_tokens(pair.is_some()));
            truncate(&mut first, second.as_mut(), length.saturating_sub(added), end);
        }
        match (&self.post_processor, second) {
            (Some(processor), second) => {
                processor.process(first, second, how.add_special_tokens).map_err(tokenizer_error)
            }
            (None, None) => Ok(first),
            (None, Some(second)) => {
                let mut both = first;
                both.merge_with(second, false);
                Ok(both)
            }
        }
    }

    /// The text of tokens by their names.
    pub fn decode(&self, tokens: Vec<String>) -> Result<String, DataError> {
        if tokens.is_empty() {
            return Ok(String::new());
        }
        match self.decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(tokenizer_error),
            None => Ok(tokens.join(" ")),
        }
    }

    fn decoder(&self) -> Option<&DecoderWrapper> {
        self.inner.get_decoder()
    }

    /// Whether it recognises this special token's name in text.
    pub fn is_special(&self, name: &str) -> bool {
        self.inner.get_added_vocabulary().is_special_token(name)
    }

    /// Whether this name is one that was added to the model's vocabulary.
    fn is_added(&self, name: &str) -> bool {
        self.inner.get_added_vocabulary().get_vocab().contains_key(name)
    }

    /// A name for people's eyes.
    pub fn id_to_token(&self, id: u32) -> String {
        self.token_name(id).cloned().unwrap_or_else(|| format!("<{id}>"))
    }
}

/// Where each character begins, in bytes, and where the last one ends.
fn char_boundaries(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

fn collect_token_names(inner: &Inner) -> Vec<Option<String>> {
    let vocab = inner.get_vocab(true);
    let size = vocab.values().max().map_or(0, |id| *id as usize + 1);
    (0..size as u32).map(|id| inner.id_to_token(id)).collect()
}

/// The longer text gives way first, token by token.
fn truncate(first: &mut tokenizers::Encoding, second: Option<&mut tokenizers::Encoding>, length: usize, end: TextSide) {
    let direction = if end == TextSide::Left { TruncationDirection::Left } else { TruncationDirection::Right };
    let (a, b) = (first.len(), second.as_ref().map_or(0, |second| second.len()));
    let half = length / 2;
    let (a, b) = match () {
        () if a + b <= length => (a, b),
        () if a <= half => (a, length - a),
        () if b <= half => (length - b, b),
        () if a >= b => (length - half, half),
        () => (half, length - half),
    };
    first.truncate(a, 0, direction);
    // What was cut off would be put together with everything again.
    first.take_overflowing();
    if let Some(second) = second {
        second.truncate(b, 0, direction);
        second.take_overflowing();
    }
}
