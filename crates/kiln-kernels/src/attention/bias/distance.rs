//! Biases by distance: bias(h, i, j) = table\[index(d), h\] · factor(d) with the distance d = position(j) − position(i) of
//! key j and query i within their document.

use super::{BiasInputs, HeadBias, Positions, ScoreBias, TileBias, TileForm};
use crate::cpu::vector::vectorized;
use burn::tensor::{Int, Tensor};
use std::{fmt::Debug, sync::Arc};

/// Map from a distance to a row of the table and a factor.
pub trait DistanceFunction: Clone + Debug + Send + Sync + 'static {
    /// Returns the row of the table and the factor for a distance.
    fn index_and_factor(&self, distance: i32) -> (usize, f32);

    /// Returns the biases of all pairs: distances `[B, T, S]`, table `[N, H]` → `[B, H, T, S]`.
    fn dense(&self, distances: Tensor<3, Int>, table: Tensor<2>) -> Tensor<4>;
}

/// Bias that depends on the head and the distance.
#[derive(Clone, Debug)]
pub struct DistanceBias<F> {
    /// Table `[N, H]`, for H heads.
    pub table: Tensor<2>,
    /// Map from distances to rows of the table.
    pub function: F,
}

impl<F: DistanceFunction> ScoreBias for DistanceBias<F> {
    fn dense(&self, inputs: BiasInputs) -> Tensor<4> {
        let [query, key] = inputs.block_mask.positions.clone().expect("a position bias needs positions");
        let ([b, t], [_, s]) = (query.dims(), key.dims());
        let distances = key.unsqueeze_dim::<3>(1).expand([b, t, s]) - query.unsqueeze_dim::<3>(2).expand([b, t, s]);
        self.function.dense(distances, self.table.clone())
    }

    fn tile(&self) -> Option<TileForm> {
        Some(TileForm { parameters: self.table.clone(), bias: Arc::new(DistanceTile(self.function.clone())) })
    }
}

/// A function of the distance in a tile.
#[derive(Debug)]
struct DistanceTile<F>(F);

impl<F: DistanceFunction> TileBias for DistanceTile<F> {
    fn head<'a>(&'a self, parameters: &'a [f32], positions: Positions<'a>) -> Box<dyn HeadBias + 'a> {
        let [first_query, last_query] = min_max(positions.query);
        let [first_key, last_key] = min_max(positions.key);
        let min_distance = first_key - last_query;
        let distances = min_distance..=last_key - first_query;
        // As many values as queries + keys: a bias is computed once for each distance instead of once for each pair.
        let lookup: Vec<(usize, f32)> = distances.map(|distance| self.0.index_and_factor(distance)).collect();
        let values = lookup.iter().map(|(index, factor)| parameters[*index] * factor).collect();
        Box::new(HeadByDistance { lookup, values, min_distance, positions })
    }
}

/// Least and greatest position; 0 without positions.
fn min_max(positions: &[i32]) -> [i32; 2] {
    [positions.iter().min().copied().unwrap_or(0), positions.iter().max().copied().unwrap_or(0)]
}

vectorized! {
    /// Adds the bias of each key: `values` by distance, the first one for a key at position `first_position`.
    fn add_bias(scores: &mut [f32], values: &[f32], key_positions: &[i32], first_position: i32) {
        for (score, position) in scores.iter_mut().zip(key_positions) {
            *score += values[(position - first_position) as usize];
        }
    }
}

/// Biases of one head by distance, from `min_distance` on.
struct HeadByDistance<'a> {
    /// Row of the table and factor of each distance.
    lookup: Vec<(usize, f32)>,
    /// Bias of each distance.
    values: Vec<f32>,
    min_distance: i32,
    positions: Positions<'a>,
}

impl HeadBias for HeadByDistance<'_> {
    fn add(&self, scores: &mut [f32], query: usize, first_key: usize) {
        let key_positions = &self.positions.key[first_key..first_key + scores.len()];
        add_bias(scores, &self.values, key_positions, self.positions.query[query] + self.min_distance);
    }

    fn add_gradient(&self, gradients: &[f32], query: usize, first_key: usize, parameter_gradient: &mut [f32]) {
        let first_position = self.positions.query[query] + self.min_distance;
        for (gradient, position) in gradients.iter().zip(&self.positions.key[first_key..]) {
            let (index, factor) = self.lookup[(position - first_position) as usize];
            parameter_gradient[index] += gradient * factor;
        }
    }
}
