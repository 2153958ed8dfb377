//! Segmentation of text into sentences and tokens, without the grammar. Tokens here are words and punctuation marks.

use std::ops::Range;

/// Byte ranges of the sentences of `text`, without the space between them. The rest after the last sentence end counts
/// as a sentence.
pub(crate) fn split_sentences(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut sentences = Vec::new();
    let mut start = 0;
    for position in 0..bytes.len() {
        if let Some(end) = sentence_end(bytes, position).filter(|&end| end > start) {
            sentences.push(start..end);
            start = end + 1;
        }
    }
    if start < bytes.len() {
        sentences.push(start..bytes.len());
    }
    sentences
}

/// End of a sentence whose full stop, question mark or exclamation mark is at byte `position`.
///
/// The mark, optionally followed by a closing quotation mark, ends a sentence at the end of the text, or before a space
/// and an upper-case letter or quotation mark. `"…?" asked Ann` therefore is one sentence.
fn sentence_end(bytes: &[u8], position: usize) -> Option<usize> {
    if !matches!(bytes[position], b'.' | b'?' | b'!') {
        return None;
    }
    let end = if bytes.get(position + 1) == Some(&b'"') { position + 2 } else { position + 1 };
    match bytes.get(end..) {
        Some([b' ', next, ..]) if next.is_ascii_uppercase() || *next == b'"' => Some(end),
        Some([]) => Some(end),
        _ => None,
    }
}

/// Whether a byte is part of a word: ASCII letters and digits, apostrophes, and all non-ASCII characters.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\'' || byte >= 0x80
}

/// Byte ranges of the tokens within `range`: words, and single punctuation marks. Spaces are not part of any token.
pub(crate) fn split_tokens(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut position = range.start;
    while position < range.end {
        let start = position;
        position += 1;
        if is_word_byte(bytes[start]) {
            position += bytes[position..range.end].iter().take_while(|byte| is_word_byte(**byte)).count();
        }
        if bytes[start] != b' ' {
            tokens.push(start..position);
        }
    }
    tokens
}

/// Starts of the tokens that are not determined because `other` was possible at byte `position`.
///
/// If the text and `other` differ within a word, it is the whole word; otherwise the token at (or after the space at)
/// the position.
pub(crate) fn ambiguous_starts(text: &str, position: usize, other: &str) -> [usize; 2] {
    let bytes = text.as_bytes();
    let text_has_word_byte = bytes.get(position).is_some_and(|byte| is_word_byte(*byte));
    let other_has_word_byte = other.as_bytes().first().is_some_and(|byte| is_word_byte(*byte));
    let token_start = if bytes.get(position) == Some(&b' ') { position + 1 } else { position };
    if !text_has_word_byte && !other_has_word_byte {
        return [token_start, token_start];
    }
    let word_length = bytes[..position].iter().rev().take_while(|byte| is_word_byte(**byte)).count();
    [token_start, position - word_length]
}
