//! The tokenizer that a file carries, as data.

use super::{Array, Metadata, Value};
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// A tokenizer as GGUF files keep it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufTokenizer {
    /// What it is: `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `bert` (WordPiece), `t5` (Unigram).
    pub model: String,
    /// How text is cut before it is merged: `default`, `smollm`, `qwen2`.
    pub pre_tokenizer: Option<String>,
    /// Tokens by id.
    pub tokens: Vec<String>,
    /// Their scores, if it has any.
    pub scores: Vec<f32>,
    /// What each is, if it says: 1 normal, 2 unknown, 3 control, 4 of the user, 5 unused, 6 a byte.
    pub token_types: Vec<i32>,
    /// Merges, the first first: two tokens with a space between.
    pub merges: Vec<String>,
    /// Ids of special tokens by role: `bos`, `eos`, `eot`, `unknown`, `seperator` (so spelt), `padding`, `cls`, `mask`.
    pub special_token_ids: BTreeMap<String, u32>,
    /// What is added around text unasked, by role: `bos`, `eos`, `sep`.
    pub add_special_tokens: BTreeMap<String, bool>,
    /// The normaliser of a `t5` vocabulary, as SentencePiece compiles it.
    pub precompiled_charsmap: Vec<u8>,
    /// Whether a space comes before the first word, if it says.
    pub add_space_prefix: Option<bool>,
    /// Whether runs of spaces are one, if it says.
    pub remove_extra_whitespaces: Option<bool>,
    /// The chat template.
    pub chat_template: Option<String>,
}

const KEY_PREFIX: &str = "tokenizer.ggml.";
const CHAT_TEMPLATE_KEY: &str = "tokenizer.chat_template";

impl GgufTokenizer {
    /// The tokenizer in the metadata, if there is one.
    ///
    /// # Errors
    /// If a key holds what it can't, or lists have other lengths than the list of tokens.
    pub fn read(metadata: &Metadata) -> Result<Option<Self>, ValidationError> {
        let key = |name: &str| format!("{KEY_PREFIX}{name}");
        let Some(model) = metadata.string(&key("model"))? else { return Ok(None) };
        let texts = |name: &str| {
            metadata.get(&key(name), "a list of texts", Value::as_strings).map(|l| l.unwrap_or(&[]).to_vec())
        };
        let mut carried = Self {
            model: model.into(),
            pre_tokenizer: metadata.string(&key("pre"))?.map(str::to_owned),
            tokens: texts("tokens")?,
            merges: texts("merges")?,
            scores: metadata.get(&key("scores"), "a list of numbers of 32 bits", as_f32_list)?.unwrap_or_default(),
            token_types: metadata.get(&key("token_type"), "a list of whole numbers", as_i32_list)?.unwrap_or_default(),
            precompiled_charsmap: metadata
                .get(&key("precompiled_charsmap"), "a list of bytes", as_byte_list)?
                .unwrap_or_default(),
            add_space_prefix: metadata.flag(&key("add_space_prefix"))?,
            remove_extra_whitespaces: metadata.flag(&key("remove_extra_whitespaces"))?,
            chat_template: metadata.string(CHAT_TEMPLATE_KEY)?.map(str::to_owned),
            ..Self::default()
        };
        for full in metadata.0.keys() {
            let Some(name) = full.strip_prefix(KEY_PREFIX) else { continue };
            if let Some(role) = name.strip_suffix("_token_id") {
                carried
                    .special_token_ids
                    .extend(carried.read_token_id(metadata, full)?.map(|id| (role.to_owned(), id)));
            } else if let Some(role) = name.strip_prefix("add_").and_then(|name| name.strip_suffix("_token")) {
                carried.add_special_tokens.extend(metadata.flag(full)?.map(|yes| (role.to_owned(), yes)));
            }
        }
        carried.check()?;
        Ok(Some(carried))
    }

    fn read_token_id(&self, metadata: &Metadata, key: &str) -> Result<Option<u32>, ValidationError> {
        let Some(id) = metadata.integer(key)? else { return Ok(None) };
        match u32::try_from(id) {
            Ok(small) if id < self.tokens.len() => Ok(Some(small)),
            // Files say so where there is none.
            Ok(u32::MAX) => Ok(None),
            _ => Err(ValidationError::new(key, format!("an id below {} was expected, found {id}", self.tokens.len()))),
        }
    }

    fn check(&self) -> Result<(), ValidationError> {
        let lists = [("scores", self.scores.len()), ("token_type", self.token_types.len())];
        match lists.into_iter().find(|(_, length)| *length != 0 && *length != self.tokens.len()) {
            None => Ok(()),
            Some((name, length)) => {
                let reason = format!("{} tokens, but {length} of these", self.tokens.len());
                Err(ValidationError::new(format!("{KEY_PREFIX}{name}"), reason))
            }
        }
    }

    /// Puts it into metadata.
    pub fn write(&self, metadata: &mut Metadata) {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                metadata.set(format!("{KEY_PREFIX}{name}"), value);
            }
        };
        let list = |array: Array| (!array.is_empty()).then_some(Value::Array(array));
        set("model", Some(Value::String(self.model.clone())));
        set("pre", self.pre_tokenizer.clone().map(Value::String));
        set("tokens", list(Array::String(self.tokens.clone())));
        set("scores", list(Array::F32(self.scores.clone())));
        set("token_type", list(Array::I32(self.token_types.clone())));
        set("merges", list(Array::String(self.merges.clone())));
        set("precompiled_charsmap", list(Array::U8(self.precompiled_charsmap.clone())));
        set("add_space_prefix", self.add_space_prefix.map(Value::Bool));
        set("remove_extra_whitespaces", self.remove_extra_whitespaces.map(Value::Bool));
        for (role, id) in &self.special_token_ids {
            set(&format!("{role}_token_id"), Some(Value::U32(*id)));
        }
        for (role, yes) in &self.add_special_tokens {
            set(&format!("add_{role}_token"), Some(Value::Bool(*yes)));
        }
        if let Some(template) = &self.chat_template {
            metadata.set(CHAT_TEMPLATE_KEY, Value::String(template.clone()));
        }
    }
}

fn as_f32_list(value: &Value) -> Option<Vec<f32>> {
    if let Value::Array(Array::F32(list)) = value { Some(list.clone()) } else { None }
}

fn as_i32_list(value: &Value) -> Option<Vec<i32>> {
    match value {
        Value::Array(Array::I32(list)) => Some(list.clone()),
        Value::Array(Array::U32(list)) => list.iter().map(|n| i32::try_from(*n).ok()).collect(),
        _ => None,
    }
}

fn as_byte_list(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Array(Array::U8(list)) => Some(list.clone()),
        Value::Array(Array::I8(list)) => Some(list.iter().map(|byte| byte.cast_unsigned()).collect()),
        _ => None,
    }
}
