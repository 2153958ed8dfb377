//! A normaliser's table as SentencePiece compiles it: a trie (a double array) of what is replaced, and the texts that
//! take its place. The library that walks it trusts it; here it is checked.

use super::train::tokenizer_error;
use crate::DataError;

/// Refuses a table in which some text would lead nowhere.
pub(crate) fn check(table: &[u8]) -> Result<(), DataError> {
    let wrong = || tokenizer_error("its normaliser's table (`precompiled_charsmap`) is damaged");
    let (size, rest) = table.split_first_chunk::<4>().ok_or_else(wrong)?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    let (trie, texts) = rest.split_at_checked(size).ok_or_else(wrong)?;
    let texts = std::str::from_utf8(texts).map_err(|_| wrong())?;
    let units: Vec<u32> =
        trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
    let sound = units.iter().enumerate().all(|(at, unit)| {
        // Bit 31 marks a value, which no text leads to; the root is always walked.
        if at > 0 && unit >> 31 == 1 {
            return true;
        }
        let base = at ^ ((*unit as usize >> 10) << ((*unit as usize & (1 << 9)) >> 6));
        let leaf = (unit >> 8) & 1 == 0 || {
            units.get(base).is_some_and(|value| texts.is_char_boundary((value & 0x7FFF_FFFF) as usize))
        };
        base | 0xFF < units.len() && leaf
    });
    (!units.is_empty() && sound).then_some(()).ok_or_else(wrong)
}

/// The same of a table as a `tokenizer.json` spells it.
pub(crate) fn check_base64(table: &str) -> Result<(), DataError> {
    check(&decode_base64(table).ok_or_else(|| tokenizer_error("`precompiled_charsmap` is no base 64"))?)
}

const BASE64_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base 64 as bytes.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|digit| BASE64_ALPHABET.iter().position(|d| *d == digit));
    let digits: Vec<u32> = digits.map(|digit| digit.map(|d| d as u32)).collect::<Option<_>>()?;
    let whole = |four: &[u32]| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    Some(digits.chunks(4).flat_map(whole).collect())
}

/// Bytes in base 64.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4).for_each(|i| {
            text.push(if i <= three.len() {
                BASE64_ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char
            } else {
                '='
            })
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read_as_it_is_written() {
        assert_eq!((encode_base64(b"Kiln"), encode_base64(b"\xFF\xFE\xFD")), ("S2lsbg==".into(), "//79".into()));
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(91)).collect();
            assert_eq!(decode_base64(&encode_base64(&bytes)), Some(bytes));
        }
        assert_eq!(decode_base64("a*"), None);
    }

    #[test]
    fn tables_that_lead_out_of_themselves_are_refused() {
        let table = |units: &[u32], texts: &str| {
            let trie: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            [&(trie.len() as u32).to_le_bytes()[..], &trie, texts.as_bytes()].concat()
        };
        assert!(check(&table(&[0; 256], "")).is_ok());
        let mut out = [0; 256];
        out[7] = 300 << 10;
        assert!(check(&table(&out, "")).is_err());
        let mut root = [0; 256];
        root[0] = 1 << 31 | 300 << 10;
        assert!(check(&table(&root, "")).is_err());
        let mut beyond = [0; 256];
        (beyond[0], beyond[1]) = (1 << 10 | 1 << 8, 1 << 31 | 9);
        assert!(check(&table(&beyond, "ab\0")).is_err());
        assert!(check(&table(&beyond, "abcdefghijk\0")).is_ok());
        assert!(check(&[0xFF; 9]).is_err() && check(b"").is_err());
    }
}
