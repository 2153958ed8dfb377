//! Tokenizers that are written down in other ways than a `tokenizer.json`, turned into one.

mod byte_level;
mod carried;
mod carry;
mod parts;
mod pre;
mod protobuf;
mod sentencepiece;
mod wordpiece;

use super::{Roles, Tokenizer, roles, train::broken};
use crate::DataError;
pub use byte_level::{merges_txt, vocab_and_merges};
pub use carried::Carried;
#[cfg(feature = "files")]
pub(crate) use parts::around;
pub use sentencepiece::sentencepiece;
use serde_json::Value;
pub use wordpiece::vocab_txt;

/// A tokenizer from what became of another file, with the roles that its tokens have.
pub(crate) fn finished(mut json: Value, names: &[(&str, String)]) -> Result<Tokenizer, DataError> {
    roles::mark(&mut json, names);
    Tokenizer::from_json(&serde_json::to_string(&json).map_err(broken)?)
}

/// The names of tokens that have a role by id.
pub(crate) fn names_of(roles: &Roles, name: impl Fn(u32) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut roles = roles.clone();
    let ids = roles.slots().map(|slot| *slot);
    roles::NAMES.into_iter().zip(ids).filter_map(|(role, id)| Some((role, name(id?)?))).collect()
}
