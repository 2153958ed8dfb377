//! Span masking: spans of whole words (SpanBERT, 1907.10529, section 3.1). Lengths are distributed as ℓ ~ Geo(p), cut off
//! at ℓ_max. Spans start at random words, until the masking rate is reached.

use kiln_spec::Random;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Span masking options.
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
    /// Probability of each span length, from 1 to `max_length`: p (1 − p)^(ℓ−1), normalized to sum to 1.
    ///
    /// ```
    /// # use kiln_train::objective::SpanMasking;
    /// let probabilities = SpanMasking { p: 0.5, max_length: 2 }.length_probabilities();
    /// assert_eq!(probabilities, [2.0 / 3.0, 1.0 / 3.0]);
    /// ```
    pub fn length_probabilities(&self) -> Vec<f64> {
        let weights: Vec<f64> = (0..self.max_length).map(|l| (1.0 - self.p).powi(l as i32)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// Disjoint spans over `words`, each word a range of tokens, with about `budget` tokens in total. A drawn span that
    /// overlaps another or extends beyond the last word is drawn again.
    pub(super) fn sample_spans(&self, words: &[Range<usize>], budget: usize, random: &mut Random) -> Vec<Range<usize>> {
        let lengths = self.length_probabilities();
        let mut taken = vec![false; words.len()];
        let mut remaining = budget;
        let mut spans = Vec::new();
        // The number of draws is bounded, because most draws are rejected when few words are free.
        for _ in 0..32 * words.len() {
            if remaining == 0 {
                break;
            }
            let length = 1 + sample_weighted(&lengths, random);
            let start = random.uniform_int(words.len());
            let Some(span) = words.get(start..start + length).filter(|_| !taken[start..start + length].contains(&true))
            else {
                continue;
            };
            let tokens: usize = span.iter().map(ExactSizeIterator::len).sum();
            // The last span may exceed the budget, with a probability that keeps the expected rate exact.
            if tokens > remaining && random.uniform() * tokens as f64 >= remaining as f64 {
                break;
            }
            taken[start..start + length].fill(true);
            spans.push(start..start + length);
            remaining = remaining.saturating_sub(tokens);
        }
        spans
    }
}

/// A random index with probabilities proportional to `weights`, of which at least one must be above 0.
pub(super) fn sample_weighted(weights: &[f64], random: &mut Random) -> usize {
    let mut remaining = random.uniform() * weights.iter().sum::<f64>();
    let sampled = weights.iter().position(|weight| {
        remaining -= weight;
        remaining < 0.0
    });
    // If rounding leaves `remaining` at 0 or above, the last index with a weight above 0 is returned.
    sampled.or_else(|| weights.iter().rposition(|weight| *weight > 0.0)).unwrap_or_default()
}
