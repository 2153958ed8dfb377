//! Bytes as token names: the byte-level alphabet of GPT-2, and the byte fallback names of SentencePiece.
//!
//! - **Byte level** (GPT-2, `bytes_to_unicode`): each byte is one printable character, so that any sequence of bytes
//!   is a printable name. Printable Latin-1 characters stand for themselves; the other 68 bytes are U+0100 to U+0143
//!   in ascending order. A space is `Ġ` (U+0120), a line feed `Ċ` (U+010A).
//! - **Byte fallback** (SentencePiece): a byte is the token `<0x0A>`, with two uppercase hexadecimal digits.

/// The character of a byte in a byte-level vocabulary.
pub(crate) fn to_char(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => byte as char,
        0..=0x20 => shifted_char(u32::from(byte)),
        0x7F..=0xA0 => shifted_char(u32::from(byte) - 0x7F + 0x21),
        0xAD => shifted_char(0x43),
    }
}

/// The character of the `n`-th byte that has no printable Latin-1 character.
fn shifted_char(n: u32) -> char {
    char::from_u32(0x100 + n).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte of a character in a byte-level vocabulary; `None` for characters outside the alphabet.
pub(crate) fn from_char(c: char) -> Option<u8> {
    (0..=255).find(|byte| to_char(*byte) == c)
}

/// Name of a token with these bytes in a byte-level vocabulary.
pub(crate) fn to_byte_level(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| to_char(*byte)).collect()
}

/// The bytes of a token of a byte-level vocabulary; `None` if it has a character outside the alphabet.
pub(crate) fn from_byte_level(token: &str) -> Option<Vec<u8>> {
    token.chars().map(from_char).collect()
}

/// Name of a byte in a vocabulary with byte fallback: `<0x0A>`.
pub(crate) fn to_byte_fallback(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// The byte of a byte fallback token; `None` for other tokens. Lowercase digits are accepted.
pub(crate) fn from_byte_fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_alphabet_is_that_of_the_tokenizers_library() {
        let alphabet: std::collections::BTreeSet<char> = (0..=255).map(to_char).collect();
        assert_eq!(alphabet, ByteLevel::alphabet().into_iter().collect());
        assert_eq!(to_byte_level(" né\n".as_bytes()), "ĠnÃ©Ċ");
        assert!((0..=255).all(|byte| from_char(to_char(byte)) == Some(byte)));
    }

    #[test]
    fn fallback_names_parse_and_other_names_do_not() {
        assert!((0..=255).all(|byte| from_byte_fallback(&to_byte_fallback(byte)) == Some(byte)));
        assert!(["<0x4>", "0x41", "<0x411>", "<0xZZ>", "a"].iter().all(|token| from_byte_fallback(token).is_none()));
    }
}
