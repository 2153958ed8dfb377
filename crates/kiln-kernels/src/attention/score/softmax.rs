//! Softmax, with optional temperature and softcap (1706.03762, eq. 1; softcap 2408.00118).

use super::{Score, TileScore};
use crate::{
    attention::DenseMask,
    cpu::vector::{exp, max, sum, tanh, vectorized},
};
use burn::tensor::{Tensor, activation::softmax};
use std::sync::Arc;

/// p_j = exp(s_j) / Σ exp(s), after s ← c tanh(s / c) with a softcap c.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Softcap c. Absent: none.
    pub softcap: Option<f64>,
    /// Temperature τ.
    pub temperature: f64,
}

impl Default for Softmax {
    fn default() -> Self {
        Self { softcap: None, temperature: 1.0 }
    }
}

impl Score for Softmax {
    fn temperature(&self) -> f64 {
        self.temperature
    }

    fn has_transform(&self) -> bool {
        self.softcap.is_some()
    }

    fn transform(&self, scores: Tensor<4>) -> Tensor<4> {
        match self.softcap {
            // Multiplied by 1 / cap: Burn computes the gradient of a division by a number in f32, even for f64 tensors.
            Some(cap) => (scores * (1.0 / cap)).tanh() * cap,
            None => scores,
        }
    }

    fn weights(&self, scores: Tensor<4>, _mask: &DenseMask) -> Tensor<4> {
        softmax(scores, 3)
    }

    fn tile(&self) -> Option<Arc<dyn TileScore>> {
        Some(match self.softcap {
            Some(cap) => Arc::new(CappedRow { cap: cap as f32 }),
            None => Arc::new(Row),
        })
    }
}

vectorized! {
    /// Softmax of a row of scores in place; returns the log-sum-exp. Scores of −∞ get weight 0; a row of only −∞ gets
    /// weights 0 and log-sum-exp −∞.
    ///
    /// The maximum is subtracted first, so the greatest exponential is 1. Weights are divided by the sum, not multiplied by
    /// its inverse: one rounding less.
    fn softmax_row(scores: &mut [f32]) -> f32 {
        let max_score = max(scores);
        if max_score == f32::NEG_INFINITY {
            scores.fill(0.0);
            return f32::NEG_INFINITY;
        }
        for score in scores.iter_mut() {
            *score = exp(*score - max_score);
        }
        let total = sum(scores.len(), |i| scores[i]);
        for score in scores.iter_mut() {
            *score /= total;
        }
        max_score + total.ln()
    }

    /// P = exp(S − L) of one row.
    fn weights_from_scores(scores: &[f32], log_sum: f32, weights: &mut [f32]) {
        for (score, weight) in scores.iter().zip(weights.iter_mut()) {
            *weight = exp(*score - log_sum);
        }
    }

    /// dP to dS = P (dP − D) of one row, in place.
    fn scores_gradient(gradient: &mut [f32], weights: &[f32], dot: f32) {
        for (gradient, weight) in gradient.iter_mut().zip(weights) {
            *gradient = weight * (*gradient - dot);
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

/// Softmax of a row.
#[derive(Debug)]
struct Row;

impl TileScore for Row {
    fn weights(&self, scores: &mut [f32]) -> f32 {
        softmax_row(scores)
    }

    fn weights_again(&self, scores: &[f32], saved: f32, weights: &mut [f32]) {
        weights_from_scores(scores, saved, weights);
    }

    fn gradient(&self, gradients: &mut [f32], weights: &[f32], dot: f32) {
        scores_gradient(gradients, weights, dot);
    }
}

/// Softmax of a row with a softcap.
#[derive(Debug)]
struct CappedRow {
    cap: f32,
}

impl TileScore for CappedRow {
    fn transform(&self, scores: &mut [f32]) {
        softcap(scores, self.cap);
    }

    fn transform_gradient(&self, gradients: &mut [f32], transformed: &[f32]) {
        softcap_backward(gradients, transformed, self.cap);
    }

    fn weights(&self, scores: &mut [f32]) -> f32 {
        Row.weights(scores)
    }

    fn weights_again(&self, scores: &[f32], saved: f32, weights: &mut [f32]) {
        Row.weights_again(scores, saved, weights);
    }

    fn gradient(&self, gradients: &mut [f32], weights: &[f32], dot: f32) {
        Row.gradient(gradients, weights, dot);
    }
}
