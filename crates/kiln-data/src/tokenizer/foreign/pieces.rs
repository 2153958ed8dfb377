//! The bytes that each token stands for in the middle of a text.

use super::{
    super::{
        bytes::{from_fallback, unspell},
        train::broken,
    },
    Foreign,
};
use crate::DataError;

/// By id; none for special tokens and for ids that are no token.
pub(super) fn pieces(foreign: &Foreign, decoder: &[String]) -> Result<Vec<Option<Vec<u8>>>, DataError> {
    let has = |kind: &str| decoder.iter().any(|name| name == kind);
    let (byte_level, fallback) = (has("ByteLevel"), has("ByteFallback"));
    // What a token adds depends on whether something stands before it; here, something does.
    let before = "x".to_string();
    let alone = foreign.text(vec![before.clone()])?;
    let piece = |name: &String| {
        if foreign.is_special(name) {
            return Ok(None);
        }
        if foreign.is_added(name) {
            return Ok(Some(name.clone().into_bytes()));
        }
        if byte_level {
            return Ok(Some(unspell(name).unwrap_or_else(|| name.clone().into_bytes())));
        }
        if let Some(byte) = from_fallback(name).filter(|_| fallback) {
            return Ok(Some(vec![byte]));
        }
        let both = foreign.text(vec![before.clone(), name.clone()])?;
        Ok(Some(both.strip_prefix(&alone).unwrap_or(&both).as_bytes().to_vec()))
    };
    let found =
        foreign.names.iter().map(|name| name.as_ref().map_or(Ok(None), piece)).collect::<Result<Vec<_>, _>>()?;
    let any = found.iter().flatten().any(|piece| !piece.is_empty());
    any.then_some(found).ok_or_else(|| broken("no token stands for text"))
}
