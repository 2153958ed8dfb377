//! Tokenizers that are written down in other ways than a `tokenizer.json`, turned into one.

mod byte_level;
mod gguf;
mod json_parts;
mod pre_tokenizers;
mod protobuf;
mod sentencepiece;
mod to_gguf;
mod wordpiece;

use super::{TokenRoles, Tokenizer, roles, train::tokenizer_error};
use crate::DataError;
pub use byte_level::{from_vocab_and_merges, parse_merges_txt};
pub use gguf::GgufTokenizer;
pub(crate) use json_parts::add_template_by_names;
pub use sentencepiece::parse_sentencepiece;
use serde_json::Value;
pub use wordpiece::from_vocab_txt;

/// A tokenizer from what became of another file, with the roles that its tokens have.
pub(crate) fn build_tokenizer(mut json: Value, names: &[(&str, String)]) -> Result<Tokenizer, DataError> {
    roles::write_roles(&mut json, names);
    Tokenizer::from_json(&serde_json::to_string(&json).map_err(tokenizer_error)?)
}

/// The names of tokens that have a role by id.
pub(crate) fn role_names(roles: &TokenRoles, name: impl Fn(u32) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut roles = roles.clone();
    let ids = roles.slots_mut().map(|slot| *slot);
    roles::ROLE_NAMES.into_iter().zip(ids).filter_map(|(role, id)| Some((role, name(id?)?))).collect()
}
