//! The tokenizer that a GGUF file carries in its metadata (`tokenizer.ggml.*`).

use super::{byte_level, finished, names_of, parts, pre, sentencepiece, wordpiece};
use crate::{
    DataError,
    tokenizer::{Roles, Tokenizer, train::broken},
};

/// What a GGUF says about its tokenizer, key by key. What the file lacks stays empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carried {
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
    pub types: Vec<i32>,
    /// `merges`, each two tokens with a space between them.
    pub merges: Vec<String>,
    /// `precompiled_charsmap`: the normaliser of a `t5` vocabulary.
    pub charsmap: Vec<u8>,
    /// `bos_token_id`, `eos_token_id`, `unknown_token_id`, `padding_token_id`, `mask_token_id`,
    /// `seperator_token_id`, `cls_token_id`.
    pub roles: Roles,
    /// `add_bos_token`; absent: as the model's kind does.
    pub add_bos: Option<bool>,
    /// `add_eos_token`; absent: as the model's kind does.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`; absent: as the model's kind does.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`; absent: as the model's kind does.
    pub remove_extra_whitespaces: Option<bool>,
}

/// The kind of a token that is never text.
const CONTROL: i32 = 3;
/// The longest token, in bytes.
const LONGEST: usize = 4096;
/// The kind of a token that is recognised in text.
const USER: i32 = 4;

impl Carried {
    /// The tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know the model or `pre`, or the lists don't fit together.
    pub fn tokenizer(&self) -> Result<Tokenizer, DataError> {
        self.check()?;
        let (mut json, bos, eos) = match self.model.as_str() {
            "gpt2" => {
                let name = self.pre.as_deref().unwrap_or("default");
                let pre = pre::by_name(name)?;
                (byte_level::from_lists(&self.tokens, &self.merges, &pre)?, false, false)
            }
            "llama" => (sentencepiece::bpe(self)?, true, false),
            "t5" => (sentencepiece::unigram(self)?, false, true),
            "bert" => (wordpiece::from_phantom(&self.tokens, &self.roles), true, true),
            other => return Err(unknown_model(other)),
        };
        json["added_tokens"] = self.added().into();
        let (bos, eos) = (self.add_bos.unwrap_or(bos), self.add_eos.unwrap_or(eos));
        let token =
            |wanted: bool, id: Option<u32>| id.filter(|_| wanted).map(|id| (self.tokens[id as usize].clone(), id));
        let r = &self.roles;
        let (first, last) =
            if self.model == "bert" { (r.cls.or(r.bos), r.sep.or(r.eos)) } else { (r.bos.or(r.cls), r.eos.or(r.sep)) };
        parts::surround(&mut json, token(bos, first), token(eos, last));
        finished(json, &names_of(&self.roles, |id| self.tokens.get(id as usize).cloned()))
    }

    fn check(&self) -> Result<(), DataError> {
        let tokens = self.tokens.len();
        let fits = |length: usize| length == 0 || length == tokens;
        if tokens == 0 || !fits(self.scores.len()) || !fits(self.types.len()) {
            let (scores, types) = (self.scores.len(), self.types.len());
            return Err(broken(format!("{tokens} tokens with {scores} scores and {types} types")));
        }
        // Every way to cut a token in two is looked up.
        if let Some(long) = self.tokens.iter().find(|token| token.len() > LONGEST) {
            let reason = format!("a token of {} bytes, of at most {LONGEST}", long.len());
            return Err(broken(reason));
        }
        let mut roles = self.roles.clone();
        let beyond = roles.slots().into_iter().flatten().find(|id| **id as usize >= tokens).map(|id| *id);
        beyond.map_or(Ok(()), |id| Err(DataError::Id { id, vocab: tokens }))
    }

    fn added(&self) -> Vec<serde_json::Value> {
        let kinds = self.types.iter().zip(&self.tokens).zip(0..);
        // Where a text begins with no space of its own, they are found in the text as it was normalised.
        let whole = self.add_space_prefix == Some(false);
        let of = kinds.filter(|((kind, _), _)| [CONTROL, USER].contains(kind));
        let token = |((kind, token), id): ((&i32, &String), u32)| {
            let mut token = parts::added(id, token, *kind == CONTROL);
            token["normalized"] = (*kind == USER && whole).into();
            token
        };
        of.map(token).collect()
    }
}

fn unknown_model(found: &str) -> DataError {
    broken(format!("a GGUF with the tokenizer `{found}`: Kiln knows gpt2, llama, bert and t5"))
}
