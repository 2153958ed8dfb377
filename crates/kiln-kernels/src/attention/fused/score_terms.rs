//! Terms of a score besides the product q · k: scale, position bias and softcap, with their gradients.

use super::AttentionParams;
use crate::{
    attention::bias::BiasKind,
    cpu::vector::{tanh, vectorized},
};
use kiln_spec::plan::TilePlan;

vectorized! {
    /// Adds the bias of each key: `values` by distance, the first one for a key at position `first_position`.
    fn add_bias(scores: &mut [f32], values: &[f32], key_positions: &[i32], first_position: i32) {
        for (score, position) in scores.iter_mut().zip(key_positions) {
            *score += values[(position - first_position) as usize];
        }
    }

    /// s → c tanh(s / c).
    fn softcap(scores: &mut [f32], cap: f32) {
        for score in scores.iter_mut() {
            *score = cap * tanh(*score / cap);
        }
    }

    /// Gradient through the softcap: ∂s = ∂s' (1 − (s' / c)²) with s' the soft-capped score. 0 for hidden keys.
    fn softcap_backward(gradients: &mut [f32], capped_scores: &[f32], cap: f32) {
        for (gradient, capped) in gradients.iter_mut().zip(capped_scores) {
            let ratio = *capped / cap;
            *gradient = if capped.is_finite() { *gradient * (1.0 - ratio * ratio) } else { 0.0 };
        }
    }
}

/// Range of distances between the queries and keys of one sequence, with the table row and factor of each.
pub struct DistanceRange<'a> {
    min_distance: i32,
    lookup: Vec<(usize, f32)>,
    tiles: &'a TilePlan,
}

/// Score terms of one head of one sequence.
pub struct ScoreTerms<'a> {
    /// Factor of the products q · k.
    pub scale: f32,
    softcap: Option<f32>,
    /// The sequence's distances, and the bias of this head for each.
    bias: Option<(&'a DistanceRange<'a>, Vec<f32>)>,
}

impl<'a> DistanceRange<'a> {
    /// Returns all distances from the smallest (first key, last query) to the greatest of a sequence. The lookup has as many
    /// entries as queries + keys, so a bias is computed once per distance instead of once per pair.
    pub fn new(kind: &BiasKind, tiles: &'a TilePlan) -> Self {
        let [first_query, last_query] = min_max(&tiles.query_positions);
        let [first_key, last_key] = min_max(&tiles.key_positions);
        let min_distance = first_key - last_query;
        let lookup = (min_distance..=last_key - first_query).map(|distance| kind.index_and_factor(distance)).collect();
        Self { min_distance, lookup, tiles }
    }
}

/// Least and greatest position; 0 without positions.
fn min_max(positions: &[i32]) -> [i32; 2] {
    [positions.iter().min().copied().unwrap_or(0), positions.iter().max().copied().unwrap_or(0)]
}

impl<'a> ScoreTerms<'a> {
    /// Returns the terms of head `head` of `heads`. `table` is the bias table `[N, heads]`, row-major; `range` is absent
    /// without a bias.
    pub fn new(
        params: &AttentionParams,
        range: Option<&'a DistanceRange<'a>>,
        table: &[f32],
        [head, heads]: [usize; 2],
    ) -> Self {
        let bias = range.map(|range| {
            let values = range.lookup.iter().map(|(index, factor)| table[index * heads + head] * factor).collect();
            (range, values)
        });
        Self { scale: params.scale as f32, softcap: params.softcap_f32(), bias }
    }

    /// Adds bias and softcap to the scaled products of query number `query` with the keys from number `first_key` on.
    pub fn apply(&self, scores: &mut [f32], query: usize, first_key: usize) {
        if let Some((range, values)) = &self.bias {
            let key_positions = &range.tiles.key_positions[first_key..first_key + scores.len()];
            add_bias(scores, values, key_positions, range.tiles.query_positions[query] + range.min_distance);
        }
        if let Some(cap) = self.softcap {
            softcap(scores, cap);
        }
    }

    /// Gradient through the softcap in place; see the function above. `capped_scores` are the scores after it.
    pub fn softcap_backward(&self, gradients: &mut [f32], capped_scores: &[f32]) {
        if let Some(cap) = self.softcap {
            softcap_backward(gradients, capped_scores, cap);
        }
    }

    /// Adds the gradients of one query's scores to the gradient `[N]` of this head's column of the table: keys in ascending
    /// order.
    pub fn add_table_gradient(&self, gradients: &[f32], query: usize, first_key: usize, table_gradient: &mut [f32]) {
        let Some((range, _)) = &self.bias else { return };
        let first_position = range.tiles.query_positions[query] + range.min_distance;
        for (gradient, position) in gradients.iter().zip(&range.tiles.key_positions[first_key..]) {
            let (index, factor) = range.lookup[(position - first_position) as usize];
            table_gradient[index] += gradient * factor;
        }
    }
}
