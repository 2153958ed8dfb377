//! Tokens as readable text, for tables and pages.

use kiln_data::Tokenizer;
use std::fmt::Write;

/// The text that a token stands for: ` the`, not the name `Ġthe` or `▁the` that it has in some vocabularies.
///
/// A special token is shown by its name. Line ends and tabs are `↵` and `⇥`. Other control characters are escaped. Bytes
/// that are not valid UTF-8 on their own are hexadecimal: `<E2><82>`. An id without a token is `<id>`.
pub fn readable_token(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.token_bytes(id);
    if bytes.is_empty() || tokenizer.is_special(id) {
        return tokenizer.id_to_token(id);
    }
    readable_bytes(bytes)
}

/// Whether a token is the mask token or a sentinel. A tokenizer without a mask token may use another special token in its
/// place, which then does not count.
pub fn is_mask_token(tokenizer: &Tokenizer, id: u32) -> bool {
    let special = tokenizer.special_tokens();
    let has_other_role = [special.bos, special.eos, special.pad].contains(&id);
    !has_other_role && (id == special.mask || special.sentinels.contains(&id))
}

/// Bytes as text, as [`readable_token`] shows them.
fn readable_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push('↵'),
                '\t' => text.push('⇥'),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "<{byte:02X}>");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_readably() {
        assert_eq!(readable_bytes(b" the\n"), " the↵");
        assert_eq!(readable_bytes("é\t\u{7}".as_bytes()), "é⇥\\u{7}");
        assert_eq!(readable_bytes(b"a\xE2\x82"), "a<E2><82>");
    }
}
