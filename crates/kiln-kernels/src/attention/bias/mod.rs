//! Score biases: a number added to each score, before the score function.
//!
//! A bias is a type that implements [`ScoreBias`], in any crate. Defined here are biases by distance ([`DistanceBias`]), with
//! the slopes of ALiBi ([`Slopes`]) and the buckets of T5 ([`Buckets`]).
//!
//! **In tile or reference.** A bias that follows from the positions of a query and a key has a [`TileBias`]: the fused kernel
//! adds it to a row of scores within a tile, and no bias `[B, H, T, S]` is formed. A bias that reads queries or scores (a
//! content bias) runs in the reference kernel.

mod buckets;
mod distance;
mod slopes;

pub use buckets::Buckets;
pub use distance::{DistanceBias, DistanceFunction};
pub use slopes::Slopes;

use super::BlockMask;
use burn::tensor::Tensor;
use std::{fmt::Debug, sync::Arc};

/// What a bias can read in the reference kernel.
pub struct BiasInputs<'a> {
    /// Queries, `[B, H, T, D]`, not scaled.
    pub query: &'a Tensor<4>,
    /// Products scale · q · k, `[B, H, T, S]`. Those of hidden keys are included.
    pub scores: &'a Tensor<4>,
    /// Visible keys, and positions of queries and keys.
    pub block_mask: &'a BlockMask,
}

/// Bias of the scores of one layer.
pub trait ScoreBias: Debug + Send + Sync {
    /// Returns the bias of every pair, `[B, H, T, S]`, or a shape that broadcasts to it.
    ///
    /// # Panics
    /// If the bias needs positions and the mask has none.
    fn dense(&self, inputs: BiasInputs) -> Tensor<4>;

    /// Returns the bias in a tile; `None`: only the reference kernel computes it.
    fn tile(&self) -> Option<TileForm> {
        None
    }
}

/// Bias that works in a tile, and the tensor that it is computed from.
#[derive(Clone, Debug)]
pub struct TileForm {
    /// Slopes, or a trained table, `[N, H]` for H heads. The fused kernel computes its gradient.
    pub parameters: Tensor<2>,
    /// The bias as a function of the parameters.
    pub bias: Arc<dyn TileBias>,
}

/// Bias in a tile of the fused kernel, a function of the positions of query and key. f32.
pub trait TileBias: Debug + Send + Sync {
    /// Prepares the bias of one head over one sequence, or over a page of it. `parameters` is the head's column of
    /// [`TileForm::parameters`], `[N]`.
    fn head<'a>(&'a self, parameters: &'a [f32], positions: Positions<'a>) -> Box<dyn HeadBias + 'a>;
}

/// Positions of queries and keys, by their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Positions<'a> {
    /// Of the queries.
    pub query: &'a [i32],
    /// Of the keys.
    pub key: &'a [i32],
}

/// Bias of one head of one sequence.
pub trait HeadBias {
    /// Adds the bias to the scores of query number `query` with the keys from number `first_key` on.
    fn add(&self, scores: &mut [f32], query: usize, first_key: usize);

    /// Adds the gradients of these scores to the gradient of the head's parameters, `[N]`, keys in ascending order.
    fn add_gradient(&self, gradients: &[f32], query: usize, first_key: usize, parameter_gradient: &mut [f32]);
}
