//! Cutting a text into sentences and units, without the grammar.

use std::ops::Range;

/// The sentences of `text`, each followed by one space; what is left at the end counts as a sentence.
pub(crate) fn split_sentences(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut out, mut start) = (Vec::new(), 0);
    for at in 0..bytes.len() {
        if let Some(end) = sentence_end(bytes, at).filter(|&end| end > start) {
            out.push(start..end);
            start = end + 1;
        }
    }
    if start < bytes.len() {
        out.push(start..bytes.len());
    }
    out
}

/// The end of a sentence whose full stop, question mark or exclamation mark is at `at`.
fn sentence_end(bytes: &[u8], at: usize) -> Option<usize> {
    if !matches!(bytes[at], b'.' | b'?' | b'!') {
        return None;
    }
    let end = if bytes.get(at + 1) == Some(&b'"') { at + 2 } else { at + 1 };
    match bytes.get(end..) {
        Some([b' ', next, ..]) if next.is_ascii_uppercase() || *next == b'"' => Some(end),
        Some([]) => Some(end),
        _ => None,
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\'' || byte >= 0x80
}

/// The units of `range`: words, and punctuation marks one by one; spaces belong to none.
pub(crate) fn split_tokens(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let start = at;
        at += 1;
        if is_word_byte(bytes[start]) {
            at += bytes[at..range.end].iter().take_while(|byte| is_word_byte(**byte)).count();
        }
        if bytes[start] != b' ' {
            out.push(start..at);
        }
    }
    out
}

/// Where the units begin that a continuation `other` at `at` leaves undecided.
pub(crate) fn ambiguous_starts(text: &str, at: usize, other: &str) -> [usize; 2] {
    let bytes = text.as_bytes();
    let word_start = |at: usize| at - bytes[..at].iter().rev().take_while(|byte| is_word_byte(**byte)).count();
    let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| is_word_byte(*byte));
    let inside = goes_on(bytes.get(at)) || goes_on(other.as_bytes().first());
    let here = if bytes.get(at) == Some(&b' ') { at + 1 } else { at };
    [here, if inside { word_start(at) } else { here }]
}
