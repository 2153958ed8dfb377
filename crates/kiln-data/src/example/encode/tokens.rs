//! Parts of a text → ranges of its tokens.

use crate::{DataError, TokenRole, Tokenizer, tokenizer::EncodeOptions};
use std::ops::Range;

/// Ranges of the tokens that hold a byte of `spans`. `offsets` are the bytes of each token, `spans` are in order.
///
/// All tokens between the first and the last of a span belong to it, those without bytes included.
pub(super) fn token_spans(offsets: &[Range<usize>], spans: &[Range<usize>]) -> Vec<Range<u32>> {
    let mut found: Vec<Range<u32>> = Vec::with_capacity(spans.len());
    for span in spans.iter().filter(|span| !span.is_empty()) {
        // Offsets of tokens never decrease.
        let first = offsets.partition_point(|token| token.end <= span.start);
        let end = offsets.partition_point(|token| token.start < span.end);
        let has_bytes = |token: &Range<usize>| token.start < span.end && token.end > span.start;
        if first >= end || !offsets[first..end].iter().any(has_bytes) {
            continue;
        }
        match found.last_mut() {
            // A token across the border of two spans belongs to both.
            Some(previous) if previous.end as usize >= first => previous.end = previous.end.max(end as u32),
            _ => found.push(first as u32..end as u32),
        }
    }
    found
}

/// Moves ranges by the number of tokens that were inserted before them.
pub(super) fn shift(spans: &mut [Range<u32>], by: u32) {
    spans.iter_mut().for_each(|span| (span.start, span.end) = (span.start + by, span.end + by));
}

/// Extends the last range to the end of the sequence, whose last token is the end of the text.
pub(super) fn extend_to(spans: &mut Vec<Range<u32>>, length: u32) {
    match spans.last_mut() {
        Some(last) if last.end + 1 >= length => last.end = length,
        _ => spans.push(length - 1..length),
    }
}

/// Special tokens at the beginning of a text: `<bos>` of a tokenizer that Kiln trained, else those that the tokenizer adds
/// by default, as in a prompt ([`Tokenizer::encode_prompt`]).
pub(super) fn leading_tokens(tokenizer: &Tokenizer) -> Vec<u32> {
    if tokenizer.is_kiln_trained() {
        return vec![tokenizer.special_tokens().bos];
    }
    let encoding = tokenizer.encode_for_model("a", None, &EncodeOptions::default()).unwrap_or_default();
    let num_leading = encoding.offsets.iter().take_while(|offsets| offsets.is_empty()).count();
    encoding.ids[..num_leading].to_vec()
}

/// A text as a model reads it: with the special tokens that its tokenizer adds, or between `<bos>` and `<eos>` for a
/// tokenizer that Kiln trained.
pub(super) fn model_input(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, DataError> {
    if !tokenizer.is_kiln_trained() {
        return Ok(tokenizer.encode_input(text, &EncodeOptions::default())?.ids);
    }
    let special = tokenizer.special_tokens();
    special.require_roles(&[TokenRole::Bos, TokenRole::Eos])?;
    Ok([vec![special.bos], tokenizer.encode(text), vec![special.eos]].concat())
}
