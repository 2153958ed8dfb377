//! SentencePiece's compiled normalization table (`precompiled_charsmap`), and the base64 in which a `tokenizer.json`
//! holds it.
//!
//! Layout (SentencePiece, `normalizer.cc`): the size of the trie in bytes (`u32`), the trie, and the replacement texts,
//! each ended by a zero byte. All integers are little-endian. The trie is a double array of `u32` units (Darts-clone):
//!
//! | bits of a unit | meaning |
//! |---|---|
//! | 31 | value: bits 0–30 are an offset in the texts. In the units of labels it is 0 |
//! | 10–30, 9 | offset of the children; bit 9 shifts it left by 8 |
//! | 8 | the unit has a value, in its child 0 |
//! | 0–7 | label: the byte of text that leads here |
//!
//! The `tokenizers` library follows these offsets without checks, so that a corrupt table makes it panic. [`check`]
//! rejects such tables when the tokenizer is loaded.

use crate::DataError;

/// Checks that no text can lead out of the table: every child index is inside the trie, and every value is at a
/// character boundary of the texts. Cost: linear in the size of the table.
///
/// # Errors
/// [`DataError::Tokenizer`] if the table is corrupt.
pub(crate) fn check(table: &[u8]) -> Result<(), DataError> {
    if is_valid(table) == Some(true) {
        return Ok(());
    }
    Err(DataError::tokenizer("the normalization table (`precompiled_charsmap`) is corrupt"))
}

/// Whether the table is valid; `None` if it is cut off or its texts are not UTF-8.
fn is_valid(table: &[u8]) -> Option<bool> {
    let (size, rest) = table.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    let (trie, texts) = rest.split_at_checked(size)?;
    let texts = std::str::from_utf8(texts).ok()?;
    let units: Vec<u32> =
        trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
    Some(!units.is_empty() && (0..units.len()).all(|index| is_valid_unit(&units, index, texts)))
}

/// Whether the children and the value of a unit are inside the table.
fn is_valid_unit(units: &[u32], index: usize, texts: &str) -> bool {
    let unit = units[index] as usize;
    // No label leads to a value; the root is visited whatever its bits say.
    if index > 0 && unit >> 31 == 1 {
        return true;
    }
    let base = index ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
    let has_value = (unit >> 8) & 1 == 1;
    let value_fits = units.get(base).is_some_and(|value| texts.is_char_boundary((value & 0x7FFF_FFFF) as usize));
    base | 0xFF < units.len() && (!has_value || value_fits)
}

/// [`check`] for a table in base64.
pub(crate) fn check_base64(table: &str) -> Result<(), DataError> {
    check(&decode_base64(table)?)
}

const BASE64_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes of a table in base64 (RFC 4648, §4); padding is optional.
///
/// # Errors
/// [`DataError::Tokenizer`] for characters outside the alphabet.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, DataError> {
    let digits = text.trim_end_matches('=').bytes().map(|digit| BASE64_ALPHABET.iter().position(|d| *d == digit));
    let Some(digits) = digits.map(|digit| digit.map(|d| d as u32)).collect::<Option<Vec<u32>>>() else {
        return Err(DataError::tokenizer("`precompiled_charsmap` is not valid base64"));
    };
    Ok(digits.chunks(4).flat_map(decode_base64_group).collect())
}

/// The bytes of up to four digits: 24 bits, the most significant first.
fn decode_base64_group(digits: &[u32]) -> Vec<u8> {
    let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - digits.len()));
    bits.to_be_bytes()[1..digits.len()].to_vec()
}

/// Base64 of bytes, with padding.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = BASE64_ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char;
            text.push(if i <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trips() {
        assert_eq!((encode_base64(b"Kiln"), encode_base64(b"\xFF\xFE\xFD")), ("S2lsbg==".into(), "//79".into()));
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(91)).collect();
            assert_eq!(decode_base64(&encode_base64(&bytes)), Ok(bytes));
        }
        assert!(decode_base64("a*").is_err());
    }

    fn table(units: &[u32], texts: &str) -> Vec<u8> {
        let trie: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        [&(trie.len() as u32).to_le_bytes()[..], &trie, texts.as_bytes()].concat()
    }

    #[test]
    fn tables_with_offsets_out_of_range_are_rejected() {
        assert!(check(&table(&[0; 256], "")).is_ok());
        let mut child = [0; 256];
        child[7] = 300 << 10;
        assert!(check(&table(&child, "")).is_err());
        let mut root = [0; 256];
        root[0] = 1 << 31 | 300 << 10;
        assert!(check(&table(&root, "")).is_err());
        let mut value = [0; 256];
        (value[0], value[1]) = (1 << 10 | 1 << 8, 1 << 31 | 9);
        assert!(check(&table(&value, "ab\0")).is_err());
        assert!(check(&table(&value, "abcdefghijk\0")).is_ok());
        assert!(check(&[0xFF; 9]).is_err() && check(b"").is_err());
    }
}
