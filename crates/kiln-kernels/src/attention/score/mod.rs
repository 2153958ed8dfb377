//! Score functions: how scores become attention weights.
//!
//! With s_j = scale · q · k_j / τ + bias_j, τ the temperature, a score function has two steps: [`Score::transform`] of the
//! scores (a softcap), before hidden keys are excluded, and [`Score::weights`] after. A score function is a type that
//! implements [`Score`], in any crate. Two are defined here, because the fused kernel and the tests of this crate use them:
//!
//! * [`Softmax`]: p_j = exp(s_j) / Σ exp(s), with s ← c tanh(s / c) with a softcap c;
//! * [`Sigmoid`]: p_j = σ(s_j + b), each key on its own.
//!
//! **In tile or reference.** The fused kernel forms the scores of one query and one head at a time, over all keys that it
//! sees. A score function that needs no more than such a row has a [`TileScore`]; the kernel calls it once for each row, so
//! that its loops over the keys are compiled for it. Others, which mix heads or whole tables, run in the reference kernel,
//! which forms `[B, H, T, S]`.

mod sigmoid;
mod softmax;

pub use sigmoid::Sigmoid;
pub use softmax::Softmax;

use super::DenseMask;
use burn::tensor::Tensor;
use std::{fmt::Debug, sync::Arc};

/// Score function: from scores to attention weights.
pub trait Score: Debug + Send + Sync {
    /// Returns the temperature τ that the products q · k are divided by.
    fn temperature(&self) -> f64 {
        1.0
    }

    /// Whether [`weights`](Self::weights) is a softmax of the transformed scores. Then outputs over two sets of keys merge by
    /// their log-sum-exps; otherwise they are added.
    fn is_softmax(&self) -> bool {
        true
    }

    /// Whether [`transform`](Self::transform) changes the scores.
    fn has_transform(&self) -> bool {
        false
    }

    /// Transforms the scores of all keys, hidden ones included, `[B, H, T, S] → [B, H, T, S]`.
    fn transform(&self, scores: Tensor<4>) -> Tensor<4> {
        scores
    }

    /// Returns the weights of the transformed scores, `[B, H, T, S] → [B, H, T, S]`. Scores of hidden keys are −10³⁰. Weights
    /// of hidden keys must be 0 for a query with a visible key; those of a query without one are ignored.
    fn weights(&self, scores: Tensor<4>, mask: &DenseMask) -> Tensor<4>;

    /// Returns the function of a row of scores; `None`: only the reference kernel computes it.
    fn tile(&self) -> Option<Arc<dyn TileScore>> {
        None
    }
}

/// Score function of one row: the scores of one query and one head, for the fused kernel. f32.
pub trait TileScore: Debug + Send + Sync {
    /// Transforms the scores of a tile of the row in place.
    fn transform(&self, _scores: &mut [f32]) {}

    /// Gradient through the transformation, in place. `transformed` are the scores after it, −∞ for hidden keys, whose gradient
    /// is 0.
    fn transform_gradient(&self, _gradients: &mut [f32], _transformed: &[f32]) {}

    /// Replaces the scores of the row by weights. Hidden keys have the score −∞ and get weight 0. Returns a number that
    /// [`weights_again`](Self::weights_again) needs: of a softmax the log-sum-exp. It is −∞ if no key is visible; then all
    /// weights are 0.
    fn weights(&self, scores: &mut [f32]) -> f32;

    /// Writes the weights again, from the scores and the number that [`weights`](Self::weights) returned.
    fn weights_again(&self, scores: &[f32], saved: f32, weights: &mut [f32]);

    /// Replaces the gradients of the weights by those of the transformed scores. `dot` is Σ_j p_j dp_j over the row, less the
    /// gradient of the log-sum-exp.
    fn gradient(&self, gradients: &mut [f32], weights: &[f32], dot: f32);
}
