//! Sigmoid attention: σ(s + b) for each key, without normalization over the keys (2409.04431, eq. 3).

use super::{Score, TileScore};
use crate::{
    attention::DenseMask,
    cpu::vector::{sigmoid as sigmoid_f32, vectorized},
};
use burn::tensor::{DType, Tensor, activation::sigmoid};
use std::sync::Arc;

/// p_j = σ(s_j + b).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sigmoid {
    /// Bias b. Absent: −ln n for a query with n visible keys (2409.04431, section 3.1).
    pub bias: Option<f64>,
}

impl Sigmoid {
    /// Bias b: the given number as `[1, 1, 1, 1]`, or −ln n for a query with n visible keys, `[B, 1, T, 1]`.
    fn dense_bias(&self, mask: &DenseMask, dtype: DType) -> Tensor<4> {
        match self.bias {
            Some(bias) => Tensor::full([1, 1, 1, 1], bias, (&mask.mask.device(), dtype)),
            None => {
                let visible = mask.mask.clone().int().sum_dim(3).neg().add_scalar(mask.mask.dims()[3] as i32);
                -visible.clamp_min(1).float().cast(dtype).log()
            }
        }
    }
}

impl Score for Sigmoid {
    fn is_softmax(&self) -> bool {
        false
    }

    fn weights(&self, scores: Tensor<4>, mask: &DenseMask) -> Tensor<4> {
        let bias = self.dense_bias(mask, scores.dtype());
        sigmoid(scores + bias)
    }

    fn tile(&self) -> Option<Arc<dyn TileScore>> {
        Some(Arc::new(Row { bias: self.bias.map(|bias| bias as f32) }))
    }
}

vectorized! {
    /// Number of visible keys of a row. Hidden keys have the score −∞.
    fn count_visible(scores: &[f32]) -> u32 {
        scores.iter().map(|score| u32::from(*score != f32::NEG_INFINITY)).sum()
    }

    /// σ(s + b) of a row, 0 for hidden keys: σ alone would give them e^−88.
    fn sigmoid_row(scores: &[f32], bias: f32, weights: &mut [f32]) {
        for (score, weight) in scores.iter().zip(weights.iter_mut()) {
            *weight = if *score == f32::NEG_INFINITY { 0.0 } else { sigmoid_f32(*score + bias) };
        }
    }

    /// The same in place.
    fn sigmoid_in_place(scores: &mut [f32], bias: f32) {
        for score in scores.iter_mut() {
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { sigmoid_f32(*score + bias) };
        }
    }

    /// dP to dS = P (1 − P) dP of one row, in place.
    fn sigmoid_gradient(gradients: &mut [f32], weights: &[f32]) {
        for (gradient, weight) in gradients.iter_mut().zip(weights) {
            *gradient *= weight * (1.0 - weight);
        }
    }
}

/// Sigmoids of a row. The number that it saves is the bias.
#[derive(Debug)]
struct Row {
    bias: Option<f32>,
}

impl TileScore for Row {
    fn weights(&self, scores: &mut [f32]) -> f32 {
        let visible = count_visible(scores);
        let bias = match self.bias {
            _ if visible == 0 => f32::NEG_INFINITY,
            Some(bias) => bias,
            None => -(visible as f32).ln(),
        };
        sigmoid_in_place(scores, bias);
        bias
    }

    fn weights_again(&self, scores: &[f32], saved: f32, weights: &mut [f32]) {
        sigmoid_row(scores, saved, weights);
    }

    fn gradient(&self, gradients: &mut [f32], weights: &[f32], _dot: f32) {
        sigmoid_gradient(gradients, weights);
    }
}
