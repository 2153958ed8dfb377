//! The bytes that each token stands for in the middle of a text.

use super::{
    super::{
        byte_encoding::{from_byte_fallback, from_byte_level},
        train::tokenizer_error,
    },
    HfTokenizer,
};
use crate::DataError;

/// By id; none for special tokens and for ids that are no token.
pub(super) fn token_bytes(foreign: &HfTokenizer, decoder: &[String]) -> Result<Vec<Option<Vec<u8>>>, DataError> {
    let has = |kind: &str| decoder.iter().any(|name| name == kind);
    let (byte_level, fallback) = (has("ByteLevel"), has("ByteFallback"));
    // What a token adds depends on whether something stands before it; here, something does.
    let before = "x".to_string();
    let alone = foreign.decode(vec![before.clone()])?;
    let piece = |name: &String| {
        if foreign.is_special(name) {
            return Ok(None);
        }
        if foreign.is_added(name) {
            return Ok(Some(name.clone().into_bytes()));
        }
        if byte_level {
            return Ok(Some(from_byte_level(name).unwrap_or_else(|| name.clone().into_bytes())));
        }
        if let Some(byte) = from_byte_fallback(name).filter(|_| fallback) {
            return Ok(Some(vec![byte]));
        }
        let both = foreign.decode(vec![before.clone(), name.clone()])?;
        Ok(Some(both.strip_prefix(&alone).unwrap_or(&both).as_bytes().to_vec()))
    };
    let found =
        foreign.token_names.iter().map(|name| name.as_ref().map_or(Ok(None), piece)).collect::<Result<Vec<_>, _>>()?;
    let any = found.iter().flatten().any(|piece| !piece.is_empty());
    any.then_some(found).ok_or_else(|| tokenizer_error("no token stands for text"))
}
