//! A text as ids: bare, with places, or as a model reads it.

use super::{CachingEncoder, EncodeOptions, Encoding, TextSide, TokenRole, Tokenizer, train::tokenizer_error};
use crate::DataError;

impl Tokenizer {
    /// Ids of a text, without the special tokens that a tokenizer may add. With a tokenizer that Kiln trained, names of
    /// special tokens in the text are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        CachingEncoder::new(self).encode(text)
    }

    /// The same with the place of each token.
    pub fn encode_with_offsets(&self, text: &str) -> Encoding {
        let how = EncodeOptions { add_special_tokens: false, truncation: None };
        self.encode_for_model(text, None, &how).unwrap_or_default()
    }

    /// A text, or a pair of them, as the tokenizer gives it to its model: with the special tokens that it adds. One that
    /// Kiln trained adds none.
    ///
    /// # Errors
    /// If the tokenizer fails, or a pair is given to one that Kiln trained.
    pub fn encode_for_model(&self, text: &str, pair: Option<&str>, how: &EncodeOptions) -> Result<Encoding, DataError> {
        match (self.as_hf(), pair) {
            (Some(foreign), pair) => foreign.encode_for_model(text, pair, how),
            (None, None) => Ok(self.encode_kiln(text, how)),
            (None, Some(_)) => Err(tokenizer_error("a tokenizer that Kiln trained has no form for a pair of texts")),
        }
    }

    fn encode_kiln(&self, text: &str, how: &EncodeOptions) -> Encoding {
        let ids = self.encode(text);
        let mut end = 0;
        let offset = |id: &u32| {
            let start = end;
            end += self.vocabulary.token_bytes(*id).len();
            start..end
        };
        let offsets: Vec<_> = ids.iter().map(offset).collect();
        let kept = match how.truncation {
            Some((most, TextSide::Left)) => ids.len() - most.min(ids.len())..ids.len(),
            Some((most, TextSide::Right)) => 0..most.min(ids.len()),
            None => 0..ids.len(),
        };
        let ids = ids[kept.clone()].to_vec();
        let tokens = ids.iter().map(|id| self.id_to_token(*id)).collect();
        let (types, live) = (vec![0; ids.len()], vec![true; ids.len()]);
        Encoding { ids, offsets: offsets[kept].to_vec(), tokens, type_ids: types, attention_mask: live }
    }

    /// Whether a token ends documents.
    fn is_eos(&self, id: u32) -> bool {
        self.special_tokens().has_role(TokenRole::Eos) && id == self.special_tokens().eos
    }

    /// Ids of a text that a model is to go on from: as somebody else's tokenizer prepares it, or behind `first`, which
    /// also stands where there is no token at all.
    pub fn encode_prompt(&self, first: u32, text: &str) -> Vec<u32> {
        let Some(foreign) = self.as_hf() else { return [vec![first], self.encode(text)].concat() };
        let ids = foreign.encode_for_model(text, None, &EncodeOptions::default()).unwrap_or_default().ids;
        // What stands behind the text would end it.
        let ids = match ids.split_last() {
            Some((last, before)) if self.is_eos(*last) && !text.is_empty() => before.to_vec(),
            _ => ids,
        };
        if ids.is_empty() { vec![first] } else { ids }
    }
}
