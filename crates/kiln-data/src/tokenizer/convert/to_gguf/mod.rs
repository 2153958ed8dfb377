//! What a GGUF file carries of a tokenizer: the reverse of [`Carried::tokenizer`].

mod compare;
mod sentencepiece;
#[cfg(test)]
mod tests;
mod word_level;

use super::GgufTokenizer;
use crate::{
    DataError,
    tokenizer::{EncodeOptions, Tokenizer, byte_encoding::from_byte_fallback, hf::part_types, train::tokenizer_error},
};
use serde_json::Value;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

impl GgufTokenizer {
    /// What a GGUF file keeps of a tokenizer, from which the same ids come. Lost are spaces that a special token takes
    /// along (`lstrip`, `rstrip`) and the form of a pair of texts.
    ///
    /// # Errors
    /// What such files have no words for.
    pub fn from_tokenizer(tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let file: Value = serde_json::from_str(tokenizer.to_json()).map_err(tokenizer_error)?;
        let model = &file["model"];
        let bytes =
            ["pre_tokenizer", "decoder"].iter().any(|part| part_types(&file[part]).iter().any(|k| k == "ByteLevel"));
        let listed = collect_tokens(tokenizer, &file);
        // Older files don't name the model's kind.
        let made = match () {
            () if model["vocab"].is_array() => sentencepiece::unigram_candidates(&file, listed)?,
            () if model["merges"].is_array() && bytes => vec![word_level::from_byte_level(&file, listed)?],
            () if model["merges"].is_array() => sentencepiece::bpe_candidates(&file, listed)?,
            () if model["max_input_chars_per_word"].is_u64() => vec![word_level::from_wordpiece(&file, listed)?],
            () => return Err(unsupported_error("its tokens are whole words")),
        };
        let mut first = None;
        for found in made {
            match compare::first_difference(tokenizer, &found.to_tokenizer()?) {
                None => return Ok(found),
                Some(text) => first = first.or(Some(text)),
            }
        }
        let text = first.unwrap_or_default();
        Err(unsupported_error(format!("read from one, it would make other ids of {text:?}")))
    }

    /// The same with so many tokens: a model may have rows for more than its tokenizer has.
    pub fn with_vocab_size(mut self, vocab: usize) -> Self {
        for id in self.tokens.len()..vocab {
            self.tokens.push(unused_token(id));
        }
        self.token_types.resize(self.tokens.len(), UNUSED);
        if !self.scores.is_empty() {
            self.scores.resize(self.tokens.len(), 0.0);
        }
        self
    }
}

/// A name for an id that is not used.
fn unused_token(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Tokens by id and what each is, roles, and what is added to texts.
fn collect_tokens(tokenizer: &Tokenizer, file: &Value) -> GgufTokenizer {
    let model = &file["model"];
    let mut tokens: Vec<String> = (0..tokenizer.vocab_size()).map(unused_token).collect();
    let mut types = vec![UNUSED; tokens.len()];
    let mut put = |id: Option<u64>, token: &str, kind: i32| {
        if let Some(id) = id.map(|id| id as usize).filter(|id| *id < tokens.len()) {
            (tokens[id], types[id]) = (token.into(), kind);
        }
    };
    let unknown = |id: u64, token: &str| model["unk_id"] == id || model["unk_token"] == token;
    let pieces = model["vocab"].is_array() || model["byte_fallback"] == true;
    let kind = |id: u64, token: &str| match () {
        () if unknown(id, token) => {
            if pieces {
                UNKNOWN
            } else {
                CONTROL
            }
        }
        () if model["byte_fallback"] == true && from_byte_fallback(token).is_some() => BYTE,
        () => NORMAL,
    };
    match &model["vocab"] {
        Value::Array(pieces) => pieces.iter().zip(0..).for_each(|(piece, id)| {
            let token = piece[0].as_str().unwrap_or_default();
            put(Some(id), token, kind(id, token));
        }),
        vocab => vocab.as_object().into_iter().flatten().for_each(|(token, id)| {
            put(id.as_u64(), token, kind(id.as_u64().unwrap_or(u64::MAX), token));
        }),
    }
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let token = added["content"].as_str().unwrap_or_default();
        let id = added["id"].as_u64();
        if id.is_none_or(|id| !unknown(id, token)) {
            put(id, token, if added["special"] == true { CONTROL } else { USER_DEFINED });
        }
    }
    let found =
        GgufTokenizer { tokens, token_types: types, roles: tokenizer.token_roles(), ..GgufTokenizer::default() };
    detect_bos_eos(tokenizer, &file["model"], found)
}

/// The same with the tokens that stand around a text unasked. A document of Kiln's begins with bos.
fn detect_bos_eos(tokenizer: &Tokenizer, model: &Value, mut found: GgufTokenizer) -> GgufTokenizer {
    let ids = tokenizer.encode_for_model("a", None, &EncodeOptions::default()).unwrap_or_default().ids;
    let at = |id: Option<&u32>| id.copied().filter(|id| ids.len() > 1 && tokenizer.is_special(*id));
    let (first, last) = (at(ids.first()), at(ids.last()));
    (found.add_bos, found.add_eos) = (Some(first.is_some() || tokenizer.is_kiln_trained()), Some(last.is_some()));
    let roles = &mut found.roles;
    let (begins, ends) = match model["max_input_chars_per_word"].is_u64() {
        true => (&mut roles.cls, &mut roles.sep),
        false => (&mut roles.bos, &mut roles.eos),
    };
    (*begins, *ends) = (first.or(*begins), last.or(*ends));
    found
}

/// Refuses a part of some other kind than these.
fn require_part_types(file: &Value, part: &str, known: &[&str]) -> Result<(), DataError> {
    match part_types(&file[part]).into_iter().find(|kind| !known.contains(&kind.as_str())) {
        None => Ok(()),
        Some(other) => Err(unsupported_error(format!("GGUF files have no words for `{other}` (`{part}`)"))),
    }
}

fn unsupported_error(what: impl Into<String>) -> DataError {
    DataError::UnsupportedByGguf { reason: what.into() }
}
