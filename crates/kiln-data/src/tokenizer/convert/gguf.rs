//! [`GgufTokenizer`]: the tokenizer in the metadata of a GGUF file, and its conversion to a `tokenizer.json`.
//!
//! GGUF describes a tokenizer by the keys `tokenizer.ggml.*`
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): a list of tokens, with scores or merges, and flags.
//! It has no normalizer, pre-tokenizer or decoder; these follow from `model` and `pre`.

use super::{
    add_template_processing, added_token, build_tokenizer, byte_level, pre_tokenizers, sentencepiece, wordpiece,
};
use crate::{
    DataError,
    tokenizer::{TokenRoles, Tokenizer, roles::ROLE_NAMES},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Tokenizer as GGUF metadata: one field for each key `tokenizer.ggml.*`. Lists are empty and flags `None` if the file
/// lacks the key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufTokenizer {
    /// `model`: `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `bert` (WordPiece) or `t5` (SentencePiece
    /// Unigram).
    pub model: String,
    /// `pre`: name of the pre-tokenizer of a `gpt2` vocabulary. Absent: `default`.
    pub pre: Option<String>,
    /// `tokens`: names of the tokens by id. `gpt2` uses the byte-level alphabet, `llama` and `t5` mark spaces by `▁`,
    /// `bert` marks the beginning of a word by `▁`.
    pub tokens: Vec<String>,
    /// `scores`: one for each token; log-probabilities for `t5`, ranks for `llama`.
    pub scores: Vec<f32>,
    /// `token_type`: one for each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `merges` of a `gpt2` vocabulary, in order: two tokens separated by a space.
    pub merges: Vec<String>,
    /// `precompiled_charsmap`: SentencePiece's normalization table of a `t5` vocabulary.
    pub precompiled_charsmap: Vec<u8>,
    /// `bos_token_id`, `eos_token_id`, `unknown_token_id`, `padding_token_id`, `mask_token_id`, `seperator_token_id`
    /// (spelled so), `cls_token_id`.
    pub roles: TokenRoles,
    /// `add_bos_token`: whether a text gets `bos` (`bert`: `cls`) in front. Absent: `true` for `llama` and `bert`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`: whether a text gets `eos` (`bert`: `sep`) at the end. Absent: `true` for `t5` and `bert`.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`: whether a text gets a space in front (`llama`, `t5`). Absent: `true`.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`: whether runs of spaces become one space, and spaces at both ends are removed
    /// (`llama`, `t5`). Absent: `true` for `t5`.
    pub remove_extra_whitespaces: Option<bool>,
    /// `add_sep_token`. Kept for files that are written again; [`to_tokenizer`](Self::to_tokenizer) ignores it.
    pub add_sep: Option<bool>,
    /// Ids of the other keys `tokenizer.ggml.ROLE_token_id` by role: `eot` (end of turn), `eom` (end of message), ….
    pub other_token_ids: BTreeMap<String, u32>,
    /// `tokenizer.chat_template`: the chat template (Jinja).
    pub chat_template: Option<String>,
}

/// Values of `tokenizer.ggml.token_type`, the same as those of SentencePiece.
pub(crate) mod token_type {
    /// An ordinary token.
    pub const NORMAL: i32 = 1;
    /// The unknown token.
    pub const UNKNOWN: i32 = 2;
    /// A special token: never text.
    pub const CONTROL: i32 = 3;
    /// An added token: matched in text as a whole.
    pub const USER_DEFINED: i32 = 4;
    /// An id without a token.
    pub const UNUSED: i32 = 5;
    /// A byte: `<0x0A>`.
    pub const BYTE: i32 = 6;
}
use token_type::{CONTROL, USER_DEFINED};

/// Maximum length of a token in bytes: deriving merges looks every split of a token up.
const MAX_TOKEN_BYTES: usize = 4096;

/// Text of a token, and its id.
type NamedId = (String, u32);

impl GgufTokenizer {
    /// Converts the metadata to a tokenizer.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for an unsupported `model` or `pre`, or lists of different lengths;
    /// [`DataError::TokenId`] for a role whose id is out of range.
    pub fn to_tokenizer(&self) -> Result<Tokenizer, DataError> {
        self.check()?;
        let mut json = match self.model.as_str() {
            "gpt2" => {
                let pre = pre_tokenizers::from_name(self.pre.as_deref().unwrap_or("default"))?;
                byte_level::from_lists(&self.tokens, &self.merges, &pre)?
            }
            "llama" => sentencepiece::bpe_json(self)?,
            "t5" => sentencepiece::unigram_json(self)?,
            "bert" => wordpiece::from_gguf_tokens(&self.tokens, &self.roles),
            other => {
                let reason = format!("unsupported `tokenizer.ggml.model` {other:?}; supported: gpt2, llama, bert, t5");
                return Err(DataError::tokenizer(reason));
            }
        };
        json["added_tokens"] = self.added_tokens().into();
        let (first, last) = self.tokens_around_text();
        add_template_processing(&mut json, first, last);
        build_tokenizer(json, &self.role_names())
    }

    /// The ids of all special tokens: roles first, then [`other_token_ids`](Self::other_token_ids).
    pub fn special_token_ids(&self) -> Vec<u32> {
        let role_ids = self.roles.slots().into_iter().flatten();
        role_ids.chain(self.other_token_ids.values().copied()).collect()
    }

    /// Checks the lengths of the lists, the lengths of the tokens, and the ids of the roles.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let num_tokens = self.tokens.len();
        let [num_scores, num_types] = [self.scores.len(), self.token_types.len()];
        if num_tokens == 0 || [num_scores, num_types].into_iter().any(|length| length != 0 && length != num_tokens) {
            let reason = format!(
                "`tokenizer.ggml.tokens` has {num_tokens} items, `scores` {num_scores}, `token_type` {num_types}; \
                 expected the same number, or none of the last two"
            );
            return Err(DataError::tokenizer(reason));
        }
        if let Some(token) = self.tokens.iter().find(|token| token.len() > MAX_TOKEN_BYTES) {
            let reason = format!("a token has {} bytes, expected at most {MAX_TOKEN_BYTES}", token.len());
            return Err(DataError::tokenizer(reason));
        }
        match self.roles.slots().into_iter().flatten().find(|id| *id as usize >= num_tokens) {
            None => Ok(()),
            Some(token_id) => Err(DataError::TokenId { token_id, vocab_size: num_tokens }),
        }
    }

    /// The control and user-defined tokens as items of `added_tokens`.
    fn added_tokens(&self) -> Vec<Value> {
        // Without a space in front, user-defined tokens are matched in the normalized text, whose spaces are `▁`.
        let normalized = self.add_space_prefix == Some(false);
        let mut added = Vec::new();
        for ((token_type, token), id) in self.token_types.iter().zip(&self.tokens).zip(0..) {
            if ![CONTROL, USER_DEFINED].contains(token_type) {
                continue;
            }
            let mut item = added_token(id, token, *token_type == CONTROL);
            item["normalized"] = (*token_type == USER_DEFINED && normalized).into();
            added.push(item);
        }
        added
    }

    /// Names and ids of the tokens that are added in front of and behind a text.
    fn tokens_around_text(&self) -> (Option<NamedId>, Option<NamedId>) {
        let roles = &self.roles;
        let is_bert = self.model == "bert";
        let first = if is_bert { roles.cls.or(roles.bos) } else { roles.bos.or(roles.cls) };
        let last = if is_bert { roles.sep.or(roles.eos) } else { roles.eos.or(roles.sep) };
        let add_first = self.add_bos.unwrap_or(is_bert || self.model == "llama");
        let add_last = self.add_eos.unwrap_or(is_bert || self.model == "t5");
        (first.filter(|_| add_first).map(|id| self.named(id)), last.filter(|_| add_last).map(|id| self.named(id)))
    }

    /// A token's name and id.
    fn named(&self, id: u32) -> (String, u32) {
        (self.tokens[id as usize].clone(), id)
    }

    /// Pairs of role and token name, for the roles that the tokenizer has.
    fn role_names(&self) -> Vec<(&'static str, String)> {
        let ids = ROLE_NAMES.into_iter().zip(self.roles.slots());
        ids.filter_map(|(role, id)| Some((role, self.tokens.get(id? as usize)?.clone()))).collect()
    }
}
