//! The tokenizer that a GGUF file carries in its metadata (`tokenizer.ggml.*`).

use super::{build_tokenizer, byte_level, json_parts, pre_tokenizers, role_names, sentencepiece, wordpiece};
use crate::{
    DataError,
    tokenizer::{TokenRoles, Tokenizer, train::tokenizer_error},
};
use std::collections::BTreeMap;

/// What a GGUF says about its tokenizer, key by key. What the file lacks stays empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufTokenizer {
    /// `model`: `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `bert` (WordPiece) or `t5` (SentencePiece
    /// Unigram).
    pub model: String,
    /// `pre`: how a `gpt2` vocabulary cuts text into words.
    pub pre: Option<String>,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `scores`, one for each token.
    pub scores: Vec<f32>,
    /// `token_type`, one for each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `merges`, each two tokens with a space between them.
    pub merges: Vec<String>,
    /// `precompiled_charsmap`: the normaliser of a `t5` vocabulary.
    pub precompiled_charsmap: Vec<u8>,
    /// `bos_token_id`, `eos_token_id`, `unknown_token_id`, `padding_token_id`, `mask_token_id`,
    /// `seperator_token_id`, `cls_token_id`.
    pub roles: TokenRoles,
    /// `add_bos_token`; absent: as the model's kind does.
    pub add_bos: Option<bool>,
    /// `add_eos_token`; absent: as the model's kind does.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`; absent: as the model's kind does.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`; absent: as the model's kind does.
    pub remove_extra_whitespaces: Option<bool>,
    /// `add_sep_token`. Kept for files that are written again; [`to_tokenizer`](Self::to_tokenizer) ignores it.
    pub add_sep: Option<bool>,
    /// Ids of the other `…_token_id` keys by role: `eot` (end of turn), `eom` (end of message), `fim_pre`, ….
    pub other_token_ids: BTreeMap<String, u32>,
    /// `tokenizer.chat_template`: the chat template (Jinja).
    pub chat_template: Option<String>,
}

/// The kind of a token that is never text.
const CONTROL: i32 = 3;
/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;
/// The kind of a token that is recognised in text.
const USER_DEFINED: i32 = 4;

impl GgufTokenizer {
    /// The tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know the model or `pre`, or the lists don't fit together.
    pub fn to_tokenizer(&self) -> Result<Tokenizer, DataError> {
        self.check()?;
        let (mut json, bos, eos) = match self.model.as_str() {
            "gpt2" => {
                let name = self.pre.as_deref().unwrap_or("default");
                let pre = pre_tokenizers::from_name(name)?;
                (byte_level::from_lists(&self.tokens, &self.merges, &pre)?, false, false)
            }
            "llama" => (sentencepiece::bpe_json(self)?, true, false),
            "t5" => (sentencepiece::unigram_json(self)?, false, true),
            "bert" => (wordpiece::from_gguf_tokens(&self.tokens, &self.roles), true, true),
            other => return Err(unknown_model_error(other)),
        };
        json["added_tokens"] = self.added_tokens().into();
        let (bos, eos) = (self.add_bos.unwrap_or(bos), self.add_eos.unwrap_or(eos));
        let token =
            |wanted: bool, id: Option<u32>| id.filter(|_| wanted).map(|id| (self.tokens[id as usize].clone(), id));
        let r = &self.roles;
        let (first, last) =
            if self.model == "bert" { (r.cls.or(r.bos), r.sep.or(r.eos)) } else { (r.bos.or(r.cls), r.eos.or(r.sep)) };
        json_parts::add_template_processing(&mut json, token(bos, first), token(eos, last));
        build_tokenizer(json, &role_names(&self.roles, |id| self.tokens.get(id as usize).cloned()))
    }

    /// The ids of all special tokens: roles first, then [`other_token_ids`](Self::other_token_ids).
    pub fn special_token_ids(&self) -> Vec<u32> {
        let mut roles = self.roles.clone();
        let role_ids = roles.slots_mut().into_iter().filter_map(|id| *id);
        role_ids.chain(self.other_token_ids.values().copied()).collect()
    }

    fn check(&self) -> Result<(), DataError> {
        let tokens = self.tokens.len();
        let fits = |length: usize| length == 0 || length == tokens;
        if tokens == 0 || !fits(self.scores.len()) || !fits(self.token_types.len()) {
            let (scores, types) = (self.scores.len(), self.token_types.len());
            return Err(tokenizer_error(format!("{tokens} tokens with {scores} scores and {types} types")));
        }
        // Every way to cut a token in two is looked up.
        if let Some(long) = self.tokens.iter().find(|token| token.len() > MAX_TOKEN_BYTES) {
            let reason = format!("a token of {} bytes, of at most {MAX_TOKEN_BYTES}", long.len());
            return Err(tokenizer_error(reason));
        }
        let mut roles = self.roles.clone();
        let beyond = roles.slots_mut().into_iter().flatten().find(|id| **id as usize >= tokens).map(|id| *id);
        beyond.map_or(Ok(()), |id| Err(DataError::TokenId { token_id: id, vocab_size: tokens }))
    }

    fn added_tokens(&self) -> Vec<serde_json::Value> {
        let kinds = self.token_types.iter().zip(&self.tokens).zip(0..);
        // Where a text begins with no space of its own, they are found in the text as it was normalised.
        let whole = self.add_space_prefix == Some(false);
        let of = kinds.filter(|((kind, _), _)| [CONTROL, USER_DEFINED].contains(kind));
        let token = |((kind, token), id): ((&i32, &String), u32)| {
            let mut token = json_parts::added_token(id, token, *kind == CONTROL);
            token["normalized"] = (*kind == USER_DEFINED && whole).into();
            token
        };
        of.map(token).collect()
    }
}

fn unknown_model_error(found: &str) -> DataError {
    tokenizer_error(format!("a GGUF with the tokenizer `{found}`: Kiln knows gpt2, llama, bert and t5"))
}
