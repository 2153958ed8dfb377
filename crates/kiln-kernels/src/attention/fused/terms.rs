//! What a score is besides the product: its scale, the bias by distance and the bend.

use crate::{
    attention::bias::Distance,
    cpu::vector::{tanh, vectorised},
};
use kiln_spec::plan::Tiles;

vectorised! {
    /// Adds a number of the lookup for each key.
    fn add(scores: &mut [f32], values: &[f32], keys: &[i32], from: i32) {
        for (score, key) in scores.iter_mut().zip(keys) {
            *score += values[(key - from) as usize];
        }
    }

    /// s → cap · tanh(s / cap).
    fn bend(scores: &mut [f32], cap: f32) {
        for score in scores.iter_mut() {
            *score = cap * tanh(*score / cap);
        }
    }

    /// The gradient before the bend, from that after it: 1 − (s / cap)² of it.
    fn unbend(gradients: &mut [f32], bent: &[f32], cap: f32) {
        for (gradient, bent) in gradients.iter_mut().zip(bent) {
            let share = *bent / cap;
            *gradient = if bent.is_finite() { *gradient * (1.0 - share * share) } else { 0.0 };
        }
    }
}

/// The distances of one row of the batch: for each, row of the table and factor.
pub struct Reach<'a> {
    first: i32,
    of: Vec<(usize, f32)>,
    tiles: &'a Tiles,
}

/// What one head of one row of the batch does to a score.
pub struct Terms<'a> {
    /// What products are multiplied by.
    pub scale: f32,
    /// The bend.
    pub cap: Option<f32>,
    reach: Option<(&'a Reach<'a>, Vec<f32>)>,
}

impl<'a> Reach<'a> {
    /// All distances between the queries and the keys of a row.
    pub fn new(by: &Distance, tiles: &'a Tiles) -> Self {
        let ends = |of: &[i32]| (of.iter().min().copied().unwrap_or(0), of.iter().max().copied().unwrap_or(0));
        let (queries, keys) = (ends(&tiles.queries), ends(&tiles.keys));
        let first = keys.0 - queries.1;
        Self { first, of: (first..=keys.1 - queries.0).map(|distance| by.of(distance)).collect(), tiles }
    }
}

impl<'a> Terms<'a> {
    /// Of head `head`; `table` is `[N, heads]`, row-major.
    pub fn new(scale: f32, cap: Option<f32>, reach: Option<&'a Reach<'a>>, table: &[f32], head: [usize; 2]) -> Self {
        let [head, heads] = head;
        let values = |reach: &Reach| reach.of.iter().map(|(at, factor)| table[at * heads + head] * factor).collect();
        Self { scale, cap, reach: reach.map(|reach| (reach, values(reach))) }
    }

    /// Scores of one query and some keys, from scaled products.
    pub fn apply(&self, scores: &mut [f32], query: usize, key: usize) {
        if let Some((reach, values)) = &self.reach {
            let keys = &reach.tiles.keys[key..key + scores.len()];
            add(scores, values, keys, reach.tiles.queries[query] + reach.first);
        }
        if let Some(cap) = self.cap {
            bend(scores, cap);
        }
    }

    /// The gradient of scores before the bend, from that after it.
    pub fn unbend(&self, gradients: &mut [f32], bent: &[f32]) {
        if let Some(cap) = self.cap {
            unbend(gradients, bent, cap);
        }
    }

    /// Adds the gradients of one query's scores to those of the table `[N]` of this head.
    pub fn table_gradient(&self, gradients: &[f32], query: usize, key: usize, sum: &mut [f32]) {
        let Some((reach, _)) = &self.reach else { return };
        let from = reach.tiles.queries[query] + reach.first;
        for (gradient, key) in gradients.iter().zip(&reach.tiles.keys[key..]) {
            let (at, factor) = reach.of[(key - from) as usize];
            sum[at] += gradient * factor;
        }
    }
}
