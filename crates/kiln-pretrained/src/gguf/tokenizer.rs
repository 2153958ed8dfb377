//! The tokenizer in the metadata of a GGUF file.
//!
//! | key | type | field of [`GgufTokenizer`] |
//! |---|---|---|
//! | `tokenizer.ggml.model`, `.pre` | string | `model`, `pre` |
//! | `.tokens`, `.merges` | list of strings | `tokens`, `merges` |
//! | `.scores` | list of f32 | `scores` |
//! | `.token_type` | list of i32 or u32 | `token_types` |
//! | `.precompiled_charsmap` | list of u8 or i8 | `precompiled_charsmap` |
//! | `.ROLE_token_id` | integer | `roles`, or `other_token_ids` for roles that tokenizers do not use |
//! | `.add_bos_token`, `.add_eos_token`, `.add_sep_token` | boolean | `add_bos`, `add_eos`, `add_sep` |
//! | `.add_space_prefix`, `.remove_extra_whitespaces` | boolean | the same names |
//! | `tokenizer.chat_template` | string | `chat_template` |

use super::{Array, Metadata, Value};
use kiln_data::tokenizer::{GgufTokenizer, TokenRoles};
use kiln_spec::ValidationError;

const KEY_PREFIX: &str = "tokenizer.ggml.";
const CHAT_TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// Names of the token roles in keys `tokenizer.ggml.NAME_token_id`, in the order of [`role_ids`]. The format spells
/// `seperator` so.
const ROLE_KEYS: [&str; 7] = ["bos", "eos", "padding", "mask", "unknown", "seperator", "cls"];

/// The ids of a tokenizer's roles, in the order of [`ROLE_KEYS`].
fn role_ids(roles: &mut TokenRoles) -> [&mut Option<u32>; 7] {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = roles;
    [bos, eos, pad, mask, unk, sep, cls]
}

/// Reads the tokenizer from metadata; `None` if the file has none.
///
/// # Errors
/// If a key has a value of another type, a list differs in length from the list of tokens, or an id is out of range.
/// The error's path is the key.
pub fn read_tokenizer(metadata: &Metadata) -> Result<Option<GgufTokenizer>, ValidationError> {
    let Some(model) = metadata.string(&key("model"))? else { return Ok(None) };
    let mut tokenizer = GgufTokenizer {
        model: model.into(),
        pre: metadata.string(&key("pre"))?.map(str::to_owned),
        tokens: string_list(metadata, "tokens")?,
        merges: string_list(metadata, "merges")?,
        scores: metadata.get(&key("scores"), "a list of 32-bit floats", as_f32_list)?.unwrap_or_default(),
        token_types: metadata.get(&key("token_type"), "a list of integers", as_i32_list)?.unwrap_or_default(),
        precompiled_charsmap: metadata
            .get(&key("precompiled_charsmap"), "a list of bytes", as_byte_list)?
            .unwrap_or_default(),
        add_bos: metadata.flag(&key("add_bos_token"))?,
        add_eos: metadata.flag(&key("add_eos_token"))?,
        add_sep: metadata.flag(&key("add_sep_token"))?,
        add_space_prefix: metadata.flag(&key("add_space_prefix"))?,
        remove_extra_whitespaces: metadata.flag(&key("remove_extra_whitespaces"))?,
        chat_template: metadata.string(CHAT_TEMPLATE_KEY)?.map(str::to_owned),
        ..GgufTokenizer::default()
    };
    check_lengths(&tokenizer)?;
    for full_key in metadata.0.keys() {
        let role = full_key.strip_prefix(KEY_PREFIX).and_then(|name| name.strip_suffix("_token_id"));
        let Some(role) = role else { continue };
        let Some(id) = token_id(metadata, full_key, tokenizer.tokens.len())? else { continue };
        match ROLE_KEYS.iter().position(|known| *known == role) {
            Some(index) => *role_ids(&mut tokenizer.roles)[index] = Some(id),
            None => drop(tokenizer.other_token_ids.insert(role.to_owned(), id)),
        }
    }
    Ok(Some(tokenizer))
}

/// The key of a field of the tokenizer.
fn key(name: &str) -> String {
    format!("{KEY_PREFIX}{name}")
}

/// The list of strings of a field; empty if the key is absent.
fn string_list(metadata: &Metadata, name: &str) -> Result<Vec<String>, ValidationError> {
    Ok(metadata.get(&key(name), "a list of strings", Value::as_strings)?.unwrap_or_default().to_vec())
}

/// The id under `key`, below `vocab_size`. Files write `u32::MAX` for a token that does not exist.
fn token_id(metadata: &Metadata, key: &str, vocab_size: usize) -> Result<Option<u32>, ValidationError> {
    let Some(id) = metadata.integer(key)? else { return Ok(None) };
    match u32::try_from(id) {
        Ok(small) if id < vocab_size => Ok(Some(small)),
        Ok(u32::MAX) => Ok(None),
        _ => Err(ValidationError::new(key, format!("expected an id below {vocab_size}, found {id}"))),
    }
}

/// Checks that scores and token types are absent or as many as the tokens.
fn check_lengths(tokenizer: &GgufTokenizer) -> Result<(), ValidationError> {
    let tokens = tokenizer.tokens.len();
    let lists = [("scores", tokenizer.scores.len()), ("token_type", tokenizer.token_types.len())];
    match lists.into_iter().find(|(_, length)| *length != 0 && *length != tokens) {
        None => Ok(()),
        Some((name, length)) => Err(ValidationError::new(
            key(name),
            format!("expected one value for each of {tokens} tokens, found {length}"),
        )),
    }
}

/// Writes a tokenizer into metadata. Empty lists and absent values get no key.
pub fn write_tokenizer(tokenizer: &GgufTokenizer, metadata: &mut Metadata) {
    let lists = [
        ("tokens", Array::String(tokenizer.tokens.clone())),
        ("scores", Array::F32(tokenizer.scores.clone())),
        ("token_type", Array::I32(tokenizer.token_types.clone())),
        ("merges", Array::String(tokenizer.merges.clone())),
        ("precompiled_charsmap", Array::U8(tokenizer.precompiled_charsmap.clone())),
    ];
    let flags = [
        ("add_bos_token", tokenizer.add_bos),
        ("add_eos_token", tokenizer.add_eos),
        ("add_sep_token", tokenizer.add_sep),
        ("add_space_prefix", tokenizer.add_space_prefix),
        ("remove_extra_whitespaces", tokenizer.remove_extra_whitespaces),
    ];
    metadata.set(key("model"), Value::String(tokenizer.model.clone()));
    if let Some(pre) = &tokenizer.pre {
        metadata.set(key("pre"), Value::String(pre.clone()));
    }
    for (name, list) in lists {
        if !list.is_empty() {
            metadata.set(key(name), Value::Array(list));
        }
    }
    for (name, flag) in flags {
        if let Some(flag) = flag {
            metadata.set(key(name), Value::Bool(flag));
        }
    }
    let mut roles = tokenizer.roles.clone();
    let role_ids = ROLE_KEYS.into_iter().zip(role_ids(&mut roles)).filter_map(|(role, id)| Some((role, (*id)?)));
    let other_ids = tokenizer.other_token_ids.iter().map(|(role, id)| (role.as_str(), *id));
    for (role, id) in role_ids.chain(other_ids) {
        metadata.set(key(&format!("{role}_token_id")), Value::U32(id));
    }
    if let Some(template) = &tokenizer.chat_template {
        metadata.set(CHAT_TEMPLATE_KEY, Value::String(template.clone()));
    }
}

/// The value as a list of f32.
fn as_f32_list(value: &Value) -> Option<Vec<f32>> {
    if let Value::Array(Array::F32(list)) = value { Some(list.clone()) } else { None }
}

/// The value as a list of i32. Some writers use u32 for token types.
fn as_i32_list(value: &Value) -> Option<Vec<i32>> {
    match value {
        Value::Array(Array::I32(list)) => Some(list.clone()),
        Value::Array(Array::U32(list)) => list.iter().map(|n| i32::try_from(*n).ok()).collect(),
        _ => None,
    }
}

/// The value as bytes. Some writers use i8.
fn as_byte_list(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Array(Array::U8(list)) => Some(list.clone()),
        Value::Array(Array::I8(list)) => Some(list.iter().map(|byte| byte.cast_unsigned()).collect()),
        _ => None,
    }
}
