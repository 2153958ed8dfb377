//! Processors of token sequences: n-grams that may not be repeated, excluded sequences, and biases.

use super::{TokenHistory, exclude};
use std::collections::BTreeMap;

/// Excludes the tokens that would complete an n-gram of `source` at the end of `tokens`. Size 0 excludes nothing.
pub(super) fn exclude_repeated(logits: &mut [f32], size: usize, source: &[u32], tokens: &[u32]) {
    if size == 0 || tokens.len() + 1 < size {
        return;
    }
    let prefix = &tokens[tokens.len() + 1 - size..];
    for ngram in source.windows(size).filter(|ngram| ngram.starts_with(prefix)) {
        exclude(logits, &ngram[size - 1..]);
    }
}

/// Excludes the tokens that would complete one of `sequences`. A sequence of one end token is left out: a text that may not
/// end would be a mistake.
pub(super) fn exclude_sequences(logits: &mut [f32], sequences: &[Vec<u32>], history: &TokenHistory) {
    for sequence in sequences {
        let is_stop_token = matches!(&sequence[..], [id] if history.stop_token_ids.contains(id));
        if let Some(last) = completion(sequence, history.tokens).filter(|_| !is_stop_token) {
            exclude(logits, &[last]);
        }
    }
}

/// Adds to the logits of the tokens that would complete a sequence. The biases of one token are added before they are
/// applied; of equal sequences, the last one counts.
pub(super) fn add_sequence_bias(logits: &mut [f32], biases: &[(Vec<u32>, f32)], tokens: &[u32]) {
    if biases.is_empty() {
        return;
    }
    let biases: BTreeMap<&[u32], f32> = biases.iter().map(|(sequence, bias)| (&sequence[..], *bias)).collect();
    let mut sums: BTreeMap<u32, f32> = BTreeMap::new();
    for (sequence, bias) in biases {
        if let Some(last) = completion(sequence, tokens) {
            *sums.entry(last).or_default() += bias;
        }
    }
    for (id, bias) in sums {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit += bias;
        }
    }
}

/// The last token of a sequence, if `tokens` end with its other tokens.
fn completion(sequence: &[u32], tokens: &[u32]) -> Option<u32> {
    let (last, prefix) = sequence.split_last()?;
    tokens.ends_with(prefix).then_some(*last)
}
