//! Spans of whole words (SpanBERT, 1907.10529 §3.1): lengths ℓ ~ Geo(p) up to ℓ_max, begun at random words, until the
//! rate is reached.

use kiln_spec::Random;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Runs of words.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SpanMasking {
    /// Parameter p of the geometric distribution of span lengths, cut off at `max_length`. The mean is about 1/p words.
    pub p: f64,
    /// Maximum span length in words.
    pub max_length: usize,
}

impl Default for SpanMasking {
    fn default() -> Self {
        Self { p: 0.2, max_length: 10 }
    }
}

impl SpanMasking {
    /// The probability of each length, from 1: p (1 − p)^(ℓ−1), scaled to 1 over all lengths there are.
    pub fn length_probabilities(&self) -> Vec<f64> {
        let weights: Vec<f64> = (0..self.max_length).map(|l| (1.0 - self.p).powi(l as i32)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// Spans over `words` (each a range of tokens) that share no word, of about `budget` tokens together; a span that
    /// would go beyond the last word is not taken.
    pub(super) fn sample_spans(&self, words: &[Range<usize>], budget: usize, random: &mut Random) -> Vec<Range<usize>> {
        let lengths = self.length_probabilities();
        let (mut taken, mut left, mut spans) = (vec![false; words.len()], budget, Vec::new());
        // Where little is free, few draws find room: the number of draws is bounded.
        for _ in 0..32 * words.len() {
            if left == 0 {
                break;
            }
            let length = 1 + sample_weighted(&lengths, random);
            let start = random.uniform_int(words.len());
            let Some(span) = words.get(start..start + length).filter(|_| !taken[start..start + length].contains(&true))
            else {
                continue;
            };
            let tokens: usize = span.iter().map(ExactSizeIterator::len).sum();
            // The last one may be larger than what is left: in the mean, the rate is kept.
            if tokens > left && random.uniform() * tokens as f64 >= left as f64 {
                break;
            }
            taken[start..start + length].fill(true);
            spans.push(start..start + length);
            left = left.saturating_sub(tokens);
        }
        spans
    }
}

/// An index, drawn in proportion to `weights`.
pub(super) fn sample_weighted(weights: &[f64], random: &mut Random) -> usize {
    let mut left = random.uniform() * weights.iter().sum::<f64>();
    let hit = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    hit.or_else(|| weights.iter().rposition(|weight| *weight > 0.0)).unwrap_or_default()
}
