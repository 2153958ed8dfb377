//! AdamW update in one pass over memory, by threads.
//!
//! Weight and moments are changed in place if nothing else shares their memory; otherwise they are copied first. For a table of
//! 50,000 tokens the copies would take as much memory as a block's activations.
//!
//! The composed update makes about ten passes over n values, and memory bandwidth is its cost. Each element depends on its
//! own w, g, m and v only, so the split into tasks can't change a bit.

use super::{AdamWOutput, AdamWParams};
use crate::cpu::{
    tensor::{as_f32_slice, as_f32_slice_mut},
    vector::vectorized,
};
use burn::backend::{Flex, flex::FlexTensor};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Values in one task: 64 KiB of each of the four tensors.
const CHUNK: usize = 16 * 1024;

/// Factors of an update in 32 bits, each computed in 64 bits and rounded once.
#[derive(Clone, Copy)]
struct UpdateFactors {
    /// 1 − η λ.
    decay_factor: f32,
    beta1: f32,
    beta2: f32,
    /// 1 − β₁. Computed from the rounded β₁ it would be off: by 1e-5 of its value for β = 0.999.
    one_minus_beta1: f32,
    /// 1 − β₂.
    one_minus_beta2: f32,
    /// 1 / (1 − β₂ᵗ).
    square_correction: f32,
    /// η / (1 − β₁ᵗ).
    step_size: f32,
    eps: f32,
}

impl UpdateFactors {
    fn new(params: &AdamWParams) -> Self {
        let step = params.step as f64;
        Self {
            decay_factor: (1.0 - params.learning_rate * params.weight_decay) as f32,
            beta1: params.beta1 as f32,
            beta2: params.beta2 as f32,
            one_minus_beta1: (1.0 - params.beta1) as f32,
            one_minus_beta2: (1.0 - params.beta2) as f32,
            square_correction: (1.0 / (1.0 - params.beta2.powf(step))) as f32,
            step_size: (params.learning_rate / (1.0 - params.beta1.powf(step))) as f32,
            eps: params.eps as f32,
        }
    }
}

vectorized! {
    /// Updates w, m and v of one chunk in place.
    fn update_chunk(f: UpdateFactors, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            *m = *m * f.beta1 + g * f.one_minus_beta1;
            *v = *v * f.beta2 + g * g * f.one_minus_beta2;
            *w = *w * f.decay_factor - *m / ((*v * f.square_correction).sqrt() + f.eps) * f.step_size;
        }
    }
}

/// AdamW update of flat tensors `[n]`; see the [module](super).
///
/// # Panics
/// If a tensor isn't f32 on flex, or is under autodiff.
pub fn adamw(
    params: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    let factors = UpdateFactors::new(params);
    let gradient = contiguous(gradient);
    let [mut weight, mut mean, mut square] = [weight, mean, square].map(contiguous);
    let [w, m, v] = [&mut weight, &mut mean, &mut square].map(as_f32_slice_mut);
    let weights = w.par_chunks_mut(CHUNK).zip(as_f32_slice(&gradient).par_chunks(CHUNK));
    let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
    weights.zip(moments).for_each(|((w, g), (m, v))| update_chunk(factors, w, g, m, v));
    (
        Tensor::from_primitive::<Flex>(weight),
        Tensor::from_primitive::<Flex>(mean),
        Tensor::from_primitive::<Flex>(square),
    )
}

/// The flex tensor of a tensor without autodiff, contiguous.
fn contiguous(tensor: Tensor<1>) -> FlexTensor {
    let tensor: FlexTensor = tensor.try_into_primitive::<Flex>().expect("a tensor on flex without autodiff");
    tensor.to_contiguous()
}
