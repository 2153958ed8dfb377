//! How a `tokenizer.json` spells bytes: as one printable character each (byte-level) or as `<0x0A>` (fallback).

/// The printable character that stands for a byte in a byte-level vocabulary (GPT-2's table).
pub(crate) fn to_char(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => byte as char,
        0..=0x20 => shifted_char(u32::from(byte)),
        0x7F..=0xA0 => shifted_char(u32::from(byte) - 0x7F + 0x21),
        0xAD => shifted_char(0x43),
    }
}

fn shifted_char(n: u32) -> char {
    char::from_u32(0x100 + n).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character of a byte-level vocabulary stands for.
pub(crate) fn from_char(c: char) -> Option<u8> {
    (0..=255).find(|byte| to_char(*byte) == c)
}

/// A sequence of bytes in a byte-level vocabulary.
pub(crate) fn to_byte_level(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| to_char(*byte)).collect()
}

/// The bytes that a token of a byte-level vocabulary stands for.
pub(crate) fn from_byte_level(token: &str) -> Option<Vec<u8>> {
    token.chars().map(from_char).collect()
}

/// The name of a byte in a vocabulary with byte fallback.
pub(crate) fn to_byte_fallback(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// The byte that a token such as `<0x0A>` stands for.
pub(crate) fn from_byte_fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_table_is_the_one_that_tokenizer_files_use() {
        let ours: std::collections::BTreeSet<char> = (0..=255).map(to_char).collect();
        assert_eq!(ours, ByteLevel::alphabet().into_iter().collect());
        assert_eq!(to_byte_level(" né\n".as_bytes()), "ĠnÃ©Ċ");
        assert!((0..=255).all(|byte| from_char(to_char(byte)) == Some(byte)));
    }

    #[test]
    fn fallback_names_are_read_back_and_nothing_else_is() {
        assert!((0..=255).all(|byte| from_byte_fallback(&to_byte_fallback(byte)) == Some(byte)));
        assert!(["<0x4>", "0x41", "<0x411>", "<0xZZ>", "a"].iter().all(|token| from_byte_fallback(token).is_none()));
    }
}
