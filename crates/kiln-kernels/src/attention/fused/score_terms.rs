//! What a score is besides the product: its scale, the bias by distance and the bend.

use crate::{
    attention::bias::BiasKind,
    cpu::vector::{tanh, vectorized},
};
use kiln_spec::plan::TilePlan;

vectorized! {
    /// Adds a number of the lookup for each key.
    fn add_bias(scores: &mut [f32], values: &[f32], keys: &[i32], from: i32) {
        for (score, key) in scores.iter_mut().zip(keys) {
            *score += values[(key - from) as usize];
        }
    }

    /// s → cap · tanh(s / cap).
    fn softcap(scores: &mut [f32], cap: f32) {
        for score in scores.iter_mut() {
            *score = cap * tanh(*score / cap);
        }
    }

    /// The gradient before the bend, from that after it: 1 − (s / cap)² of it.
    fn softcap_backward(gradients: &mut [f32], bent: &[f32], cap: f32) {
        for (gradient, bent) in gradients.iter_mut().zip(bent) {
            let share = *bent / cap;
            *gradient = if bent.is_finite() { *gradient * (1.0 - share * share) } else { 0.0 };
        }
    }
}

/// The distances of one row of the batch: for each, row of the table and factor.
pub struct DistanceRange<'a> {
    min_distance: i32,
    lookup: Vec<(usize, f32)>,
    tiles: &'a TilePlan,
}

/// What one head of one row of the batch does to a score.
pub struct ScoreTerms<'a> {
    /// What products are multiplied by.
    pub scale: f32,
    /// The bend.
    pub softcap: Option<f32>,
    bias: Option<(&'a DistanceRange<'a>, Vec<f32>)>,
}

impl<'a> DistanceRange<'a> {
    /// All distances between the queries and the keys of a row.
    pub fn new(by: &BiasKind, tiles: &'a TilePlan) -> Self {
        let ends = |of: &[i32]| (of.iter().min().copied().unwrap_or(0), of.iter().max().copied().unwrap_or(0));
        let (queries, keys) = (ends(&tiles.query_positions), ends(&tiles.key_positions));
        let first = keys.0 - queries.1;
        Self {
            min_distance: first,
            lookup: (first..=keys.1 - queries.0).map(|distance| by.index_and_factor(distance)).collect(),
            tiles,
        }
    }
}

impl<'a> ScoreTerms<'a> {
    /// Of head `head`; `table` is `[N, heads]`, row-major.
    pub fn new(
        scale: f32,
        cap: Option<f32>,
        reach: Option<&'a DistanceRange<'a>>,
        table: &[f32],
        head: [usize; 2],
    ) -> Self {
        let [head, heads] = head;
        let values =
            |reach: &DistanceRange| reach.lookup.iter().map(|(at, factor)| table[at * heads + head] * factor).collect();
        Self { scale, softcap: cap, bias: reach.map(|reach| (reach, values(reach))) }
    }

    /// Scores of one query and some keys, from scaled products.
    pub fn apply(&self, scores: &mut [f32], query: usize, key: usize) {
        if let Some((reach, values)) = &self.bias {
            let keys = &reach.tiles.key_positions[key..key + scores.len()];
            add_bias(scores, values, keys, reach.tiles.query_positions[query] + reach.min_distance);
        }
        if let Some(cap) = self.softcap {
            softcap(scores, cap);
        }
    }

    /// The gradient of scores before the bend, from that after it.
    pub fn softcap_backward(&self, gradients: &mut [f32], bent: &[f32]) {
        if let Some(cap) = self.softcap {
            softcap_backward(gradients, bent, cap);
        }
    }

    /// Adds the gradients of one query's scores to those of the table `[N]` of this head.
    pub fn add_table_gradient(&self, gradients: &[f32], query: usize, key: usize, sum: &mut [f32]) {
        let Some((reach, _)) = &self.bias else { return };
        let from = reach.tiles.query_positions[query] + reach.min_distance;
        for (gradient, key) in gradients.iter().zip(&reach.tiles.key_positions[key..]) {
            let (at, factor) = reach.lookup[(key - from) as usize];
            sum[at] += gradient * factor;
        }
    }
}
