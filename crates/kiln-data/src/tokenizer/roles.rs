//! [`TokenRoles`]: which token is `bos`, `eos`, `pad`, … in a tokenizer that Kiln did not train.
//!
//! Hugging Face folders declare roles outside of `tokenizer.json`: by name in `tokenizer_config.json` and
//! `special_tokens_map.json` (`"bos_token": "<s>"` or `"bos_token": {"content": "<s>"}`), by id in `config.json`
//! (`"bos_token_id": 1`, or a list of ids). Loading a folder collects them (`pretrained`) and writes them into
//! the `tokenizer.json` as `added_tokens[…].roles` ([`write_roles`]), so that this one file is enough afterward.

use super::SpecialTokens;
use serde_json::{Value, json};

/// Ids of the tokens with a role; `None` for a role that the tokenizer lacks. One token may have several roles, as
/// GPT-2's `<|endoftext|>` is `bos`, `eos` and `unk`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRoles {
    /// Beginning of a text.
    pub bos: Option<u32>,
    /// End of a text.
    pub eos: Option<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Placeholder of a token to predict.
    pub mask: Option<u32>,
    /// Unknown token: replaces text that the vocabulary cannot encode.
    pub unk: Option<u32>,
    /// Separator of two texts, and end of the last one (BERT).
    pub sep: Option<u32>,
    /// First token of a text (BERT); its hidden state classifies the text.
    pub cls: Option<u32>,
}

/// Names of the roles in files, in the order of the fields of [`TokenRoles`].
pub(crate) const ROLE_NAMES: [&str; 7] = ["bos", "eos", "pad", "mask", "unk", "sep", "cls"];

/// Usual names of the tokens of each role, for files that declare no roles. Only unambiguous names are here.
const DEFAULT_TOKEN_NAMES: [&[&str]; 7] = [
    &["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"],
    &["</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>"],
    &["<pad>", "[PAD]", "<|pad|>"],
    &["<mask>", "[MASK]"],
    &["<unk>", "[UNK]"],
    &["[SEP]"],
    &["[CLS]"],
];

impl TokenRoles {
    /// The fields in the order of [`ROLE_NAMES`], to be changed.
    pub(crate) fn slots_mut(&mut self) -> [&mut Option<u32>; 7] {
        [&mut self.bos, &mut self.eos, &mut self.pad, &mut self.mask, &mut self.unk, &mut self.sep, &mut self.cls]
    }

    /// The ids in the order of [`ROLE_NAMES`].
    pub(crate) fn slots(&self) -> [Option<u32>; 7] {
        [self.bos, self.eos, self.pad, self.mask, self.unk, self.sep, self.cls]
    }

    /// Roles of a tokenizer trained by Kiln.
    pub(super) fn of_kiln(special: &SpecialTokens) -> Self {
        Self {
            bos: Some(special.bos),
            eos: Some(special.eos),
            pad: Some(special.pad),
            mask: Some(special.mask),
            sep: Some(special.sep),
            ..Self::default()
        }
    }

    /// Roles of a `tokenizer.json`: its `added_tokens[…].roles`, or, if none of its added tokens has that key, the
    /// tokens with usual names. `id` finds the id of a token by its name.
    pub(crate) fn from_added_tokens(added: &[Value], id: impl Fn(&str) -> Option<u32>) -> Self {
        let mut roles = Self::default();
        let declared = added.iter().any(|token| !token["roles"].is_null());
        for (i, slot) in roles.slots_mut().into_iter().enumerate() {
            let token = added.iter().find(|token| has_role(token, ROLE_NAMES[i]));
            *slot = match token.and_then(|token| token["id"].as_u64()) {
                Some(id) => u32::try_from(id).ok(),
                None if declared => None,
                None => DEFAULT_TOKEN_NAMES[i].iter().find_map(|name| id(name)),
            };
        }
        roles
    }
}

/// Whether an added token declares this role.
fn has_role(token: &Value, role: &str) -> bool {
    token["roles"].as_array().is_some_and(|roles| roles.iter().any(|name| name == role))
}

/// Roles by usual names, as pairs of role and token name, for roles that no file mentions: BERT's files declare at
/// most `pad`. A role that a file sets to null stays without a token. Only added tokens are candidates.
pub(crate) fn default_roles(
    json: &Value,
    is_mentioned: impl Fn(&str) -> bool,
    declared: &[(&'static str, String)],
) -> Vec<(&'static str, String)> {
    let added: Vec<&str> = added_tokens(json).filter_map(|token| token["content"].as_str()).collect();
    let mut roles = Vec::new();
    for (role, names) in ROLE_NAMES.into_iter().zip(DEFAULT_TOKEN_NAMES) {
        let is_known = is_mentioned(role) || declared.iter().any(|(known, _)| *known == role);
        let name = names.iter().find(|name| added.contains(name)).filter(|_| !is_known);
        roles.extend(name.map(|name| (role, (*name).to_owned())));
    }
    roles
}

/// Roles that added tokens have under Kiln's key `roles`, as pairs of role and token name.
pub(crate) fn listed_roles(added: &[Value]) -> Vec<(&'static str, String)> {
    let token = |role: &str| added.iter().find(|token| has_role(token, role))?["content"].as_str().map(str::to_string);
    ROLE_NAMES.into_iter().filter_map(|role| Some((role, token(role)?))).collect()
}

/// Roles that `config.json` gives to added tokens by id (`"eos_token_id": 2`, or a list of ids), as pairs of role and
/// token name. An id of an ordinary token has no role: as a special token it would disappear from texts.
pub(crate) fn roles_from_ids(json: &Value, config: &Value) -> Vec<(&'static str, String)> {
    let name = |role: &str| {
        let ids = &config[format!("{role}_token_id")];
        let id = ids.as_u64().or_else(|| ids[0].as_u64())?;
        added_tokens(json).find(|token| token["id"] == id)?["content"].as_str().map(str::to_string)
    };
    ROLE_NAMES.into_iter().filter_map(|role| Some((role, name(role)?))).collect()
}

fn added_tokens(json: &Value) -> impl Iterator<Item = &Value> {
    json["added_tokens"].as_array().into_iter().flatten()
}

/// Writes `added_tokens[…].roles` into a `tokenizer.json`; `names` are pairs of role and token name. A token that is
/// not an added token becomes one, as a special one. A token that the vocabulary lacks gets the next free id.
pub(crate) fn write_roles(json: &mut Value, names: &[(&str, String)]) {
    let mut added = json["added_tokens"].as_array().cloned().unwrap_or_default();
    for token in &mut added {
        let roles = roles_of(names, token["content"].as_str().unwrap_or_default());
        // Entries that are no objects are rejected later, when the file is loaded.
        if let Some(fields) = token.as_object_mut() {
            fields.insert("roles".into(), roles.into());
        }
    }
    for (_, name) in names {
        if added.iter().any(|token| token["content"] == **name) {
            continue;
        }
        let id = vocab_id(json, name).unwrap_or_else(|| next_free_id(json, &added));
        added.push(json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true, "roles": roles_of(names, name),
        }));
    }
    json["added_tokens"] = added.into();
}

/// The roles of one token.
fn roles_of<'a>(names: &[(&'a str, String)], token: &str) -> Vec<&'a str> {
    names.iter().filter(|(_, name)| name == token).map(|(role, _)| *role).collect()
}

/// Id of a token in `model.vocab`: an object of ids (BPE, WordPiece) or a list of pieces (Unigram).
pub(crate) fn vocab_id(json: &Value, name: &str) -> Option<u64> {
    match &json["model"]["vocab"] {
        Value::Object(vocab) => vocab.get(name)?.as_u64(),
        Value::Array(pieces) => pieces.iter().position(|piece| piece[0] == *name).map(|id| id as u64),
        _ => None,
    }
}

/// The smallest id above all ids of the model and of the added tokens.
fn next_free_id(json: &Value, added: &[Value]) -> u64 {
    let model = match &json["model"]["vocab"] {
        Value::Object(vocab) => vocab.values().filter_map(Value::as_u64).max().map_or(0, |id| id + 1),
        Value::Array(pieces) => pieces.len() as u64,
        _ => 0,
    };
    added.iter().filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id + 1).max(model)
}

/// Name of a token in a `tokenizer_config.json`: a string, or an object with `content`.
pub(crate) fn token_content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}
