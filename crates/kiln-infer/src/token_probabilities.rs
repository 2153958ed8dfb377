//! Probabilities of generated tokens and of the most likely alternatives.
//!
//! The distribution is that of the model: p = softmax(logits), before the logits processors and the temperature and filters
//! of [`Sampling`](crate::Sampling) (vLLM's `raw_logprobs`). A token that was sampled at a high temperature therefore shows
//! how likely the model itself found it. V vocabulary.

use std::cmp::Ordering;

/// Probability of a generated token and the most likely tokens in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenProbabilities {
    /// Natural logarithm of the token's probability. −∞ if its logit is −∞.
    pub log_probability: f64,
    /// The most likely tokens, in descending order of their probabilities; of equal ones, the lowest id first. With greedy
    /// sampling and no logits processors, the first one is the generated token.
    pub alternatives: Vec<Alternative>,
}

/// Token that could have been generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of its probability. −∞ if its logit is −∞.
    pub log_probability: f64,
}

impl TokenProbabilities {
    /// Returns the probability of token `id` and its `count` most likely alternatives, at most V, for the model's logits
    /// `[V]`. The softmax is computed in `f64`.
    ///
    /// `None` if the logits are no distribution (NaN, +∞, or −∞ only) or have no token `id`.
    pub fn new(logits: &[f32], id: u32, count: usize) -> Option<Self> {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        if !max.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
        let log_probability = |logit: f32| f64::from(logit) - max - sum.ln();
        let alternatives = most_likely(logits, count).into_iter();
        let alternatives =
            alternatives.map(|id| Alternative { id, log_probability: log_probability(logits[id as usize]) });
        Some(Self { log_probability: log_probability(*logits.get(id as usize)?), alternatives: alternatives.collect() })
    }

    /// Returns the probability of the token, from 0 to 1.
    pub fn probability(&self) -> f64 {
        self.log_probability.exp()
    }
}

impl Alternative {
    /// Returns the probability of the token, from 0 to 1.
    pub fn probability(&self) -> f64 {
        self.log_probability.exp()
    }
}

/// The ids of the `count` highest logits in descending order; of equal ones, the lowest id first. No logit is NaN.
fn most_likely(logits: &[f32], count: usize) -> Vec<u32> {
    let order = |a: &u32, b: &u32| {
        let (left, right) = (logits[*a as usize], logits[*b as usize]);
        right.partial_cmp(&left).unwrap_or(Ordering::Equal).then(a.cmp(b))
    };
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    if count < ids.len() {
        // Only the ids that are kept are sorted: a vocabulary has many more.
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn probabilities_are_a_softmax_and_sum_to_one(
            logits in prop::collection::vec(prop_oneof![4 => -30f32..30.0, 1 => Just(2.5), 1 => Just(f32::NEG_INFINITY)], 1..40),
            id in any::<prop::sample::Index>(),
            count in 0usize..50,
        ) {
            prop_assume!(logits.iter().any(|logit| logit.is_finite()));
            let id = id.index(logits.len());
            let found = TokenProbabilities::new(&logits, id as u32, count).expect("a distribution");
            // Reference: every token, sorted by a stable sort.
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let probability = |id: usize| f64::from(logits[id]).exp() / total;
            let mut ids: Vec<usize> = (0..logits.len()).collect();
            ids.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
            ids.truncate(count);
            prop_assert!((found.probability() - probability(id)).abs() < 1e-12);
            let alternatives: Vec<usize> = found.alternatives.iter().map(|token| token.id as usize).collect();
            prop_assert_eq!(&alternatives, &ids);
            for token in &found.alternatives {
                prop_assert!((token.probability() - probability(token.id as usize)).abs() < 1e-12);
            }
            if count >= logits.len() {
                let sum: f64 = found.alternatives.iter().map(Alternative::probability).sum();
                prop_assert!((sum - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn equal_logits_are_ordered_by_id() {
        let ids = |logits: &[f32], count| most_likely(logits, count);
        assert_eq!(ids(&[0.0, 1.0, -0.0, 1.0, 0.0], 4), [1, 3, 0, 2]);
        assert_eq!(ids(&[3.0; 6], 2), [0, 1]);
    }

    #[test]
    fn logits_that_are_no_distribution_have_no_probabilities() {
        for logits in [&[0.0, f32::NAN][..], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY; 2], &[]] {
            assert_eq!(TokenProbabilities::new(logits, 0, 2), None);
        }
        assert_eq!(TokenProbabilities::new(&[0.0], 1, 1), None);
    }
}
