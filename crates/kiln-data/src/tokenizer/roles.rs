//! Which token has which role in somebody else's tokenizer.

use serde_json::Value;

/// Ids of the tokens that have a role; those that a tokenizer lacks are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRoles {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Fills up.
    pub pad: Option<u32>,
    /// Stands for a token that is to be predicted.
    pub mask: Option<u32>,
    /// Stands for what the vocabulary can't spell.
    pub unk: Option<u32>,
    /// Stands between two texts.
    pub sep: Option<u32>,
    /// Stands first in a classified text.
    pub cls: Option<u32>,
}

/// The names of the roles in files.
pub(crate) const ROLE_NAMES: [&str; 7] = ["bos", "eos", "pad", "mask", "unk", "sep", "cls"];

/// What a role's token is called where no file says which it is. All of them mean what they say.
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
    pub(crate) fn slots_mut(&mut self) -> [&mut Option<u32>; 7] {
        [&mut self.bos, &mut self.eos, &mut self.pad, &mut self.mask, &mut self.unk, &mut self.sep, &mut self.cls]
    }

    /// What the added tokens of a `tokenizer.json` say of themselves (`roles`); of those without a word, the usual names.
    pub(crate) fn from_added_tokens(added: &[Value], id: impl Fn(&str) -> Option<u32>) -> Self {
        let mut found = Self::default();
        let says = |token: &Value, role: &str| {
            token["roles"].as_array().is_some_and(|roles| roles.iter().any(|name| name == role))
        };
        let told = added.iter().any(|token| !token["roles"].is_null());
        for (i, slot) in found.slots_mut().into_iter().enumerate() {
            let named = added.iter().find(|token| says(token, ROLE_NAMES[i]));
            *slot = match named.and_then(|token| token["id"].as_u64()) {
                Some(id) => u32::try_from(id).ok(),
                None if told => None,
                None => DEFAULT_TOKEN_NAMES[i].iter().find_map(|name| id(name)),
            };
        }
        found
    }
}

/// The roles that no file speaks of and that added tokens have by their usual names: BERT's files name at most its
/// padding.
pub(crate) fn default_roles(
    json: &Value,
    files: &[Value],
    named: &[(&'static str, String)],
) -> Vec<(&'static str, String)> {
    let added = json["added_tokens"].as_array().into_iter().flatten().filter_map(|token| token["content"].as_str());
    let added: Vec<&str> = added.collect();
    let silent = |role: &str| {
        let told = files.iter().any(|file| file.get(format!("{role}_token")).is_some());
        !told && named.iter().all(|(known, _)| *known != role)
    };
    let name = |names: &[&str]| names.iter().find(|name| added.contains(name)).map(|name| (*name).to_owned());
    let roles = ROLE_NAMES.into_iter().zip(DEFAULT_TOKEN_NAMES).filter(|(role, _)| silent(role));
    roles.filter_map(|(role, names)| Some((role, name(names)?))).collect()
}

/// Writes into a `tokenizer.json` which of its tokens have a role. A token that isn't added yet is, as a special one;
/// one that the vocabulary lacks gets the next id.
pub(crate) fn write_roles(json: &mut Value, names: &[(&str, String)]) {
    let mut added = json["added_tokens"].as_array().cloned().unwrap_or_default();
    let of = |content: &str| -> Vec<&str> {
        names.iter().filter(|(_, name)| name == content).map(|(role, _)| *role).collect()
    };
    for token in &mut added {
        let roles = of(token["content"].as_str().unwrap_or_default());
        // What is no token is refused when the file is read.
        if let Some(fields) = token.as_object_mut() {
            fields.insert("roles".into(), roles.into());
        }
    }
    for (_, name) in names {
        if added.iter().any(|token| token["content"] == **name) {
            continue;
        }
        let id = vocab_id(json, name).unwrap_or_else(|| next_free_id(json, &added));
        added.push(serde_json::json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true, "roles": of(name),
        }));
    }
    json["added_tokens"] = added.into();
}

/// The id of a token of the model.
pub(crate) fn vocab_id(json: &Value, name: &str) -> Option<u64> {
    match &json["model"]["vocab"] {
        Value::Object(vocab) => vocab.get(name)?.as_u64(),
        Value::Array(pieces) => pieces.iter().position(|piece| piece[0] == *name).map(|id| id as u64),
        _ => None,
    }
}

fn next_free_id(json: &Value, added: &[Value]) -> u64 {
    let model = match &json["model"]["vocab"] {
        Value::Object(vocab) => vocab.values().filter_map(Value::as_u64).max().map_or(0, |id| id + 1),
        Value::Array(pieces) => pieces.len() as u64,
        _ => 0,
    };
    added.iter().filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id + 1).max(model)
}

/// What `tokenizer_config.json`, `special_tokens_map.json` (strings or objects) and `config.json` (ids) name as roles,
/// the first that speaks of a role counting.
pub(crate) fn roles_from_files(
    files: &[Value],
    config: Option<&Value>,
    token: impl Fn(u64) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let name = |role: &str| {
        let told = |file: &Value| {
            let value = &file[format!("{role}_token")];
            value.as_str().or_else(|| value["content"].as_str()).map(str::to_string)
        };
        let id = |config: &Value| {
            let value = &config[format!("{role}_token_id")];
            token(value.as_u64().or_else(|| value[0].as_u64())?)
        };
        files.iter().find_map(told).or_else(|| config.and_then(id))
    };
    ROLE_NAMES.iter().filter_map(|role| Some((*role, name(role)?))).collect()
}
