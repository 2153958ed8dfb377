//! The update in one pass over memory, by threads.

use super::{AdamWOutput, AdamWParams};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor},
    vector::vectorized,
};
use burn::backend::{Flex, flex::FlexTensor};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Numbers that one task works on.
const CHUNK: usize = 16 * 1024;

/// The factors of an update, with the corrections of the means worked in.
#[derive(Clone, Copy)]
struct UpdateFactors {
    decay_factor: f32,
    beta1: f32,
    beta2: f32,
    /// 1 − β, which β in 32 bits doesn't give: for 0.999 it is off by a hundred-thousandth.
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    square_correction: f32,
    step_size: f32,
    eps: f32,
}

vectorized! {
    fn update_chunk(f: UpdateFactors, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            *m = *m * f.beta1 + g * f.one_minus_beta1;
            *v = *v * f.beta2 + g * g * f.one_minus_beta2;
            *w = *w * f.decay_factor - *m / ((*v * f.square_correction).sqrt() + f.eps) * f.step_size;
        }
    }
}

/// One update. 32-bit floats on flex only, not under autodiff.
///
/// # Panics
/// On other tensors.
pub fn adamw(
    by: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    let time = by.step as f64;
    let factors = UpdateFactors {
        decay_factor: (1.0 - by.learning_rate * by.weight_decay) as f32,
        beta1: by.beta1 as f32,
        beta2: by.beta2 as f32,
        one_minus_beta1: (1.0 - by.beta1) as f32,
        one_minus_beta2: (1.0 - by.beta2) as f32,
        square_correction: (1.0 / (1.0 - by.beta2.powf(time))) as f32,
        step_size: (by.learning_rate / (1.0 - by.beta1.powf(time))) as f32,
        eps: by.eps as f32,
    };
    let flat = |tensor: Tensor<1>| {
        let tensor: FlexTensor = tensor.try_into_primitive::<Flex>().expect("a tensor on flex");
        tensor.to_contiguous()
    };
    let (weight, gradient, mean, square) = (flat(weight), flat(gradient), flat(mean), flat(square));
    let (mut w, mut m, mut v) =
        (as_f32_slice(&weight).to_vec(), as_f32_slice(&mean).to_vec(), as_f32_slice(&square).to_vec());
    let pieces = w.par_chunks_mut(CHUNK).zip(as_f32_slice(&gradient).par_chunks(CHUNK));
    pieces
        .zip(m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK)))
        .for_each(|((w, g), (m, v))| update_chunk(factors, w, g, m, v));
    let back = |values| Tensor::from_primitive::<Flex>(f32_tensor(values, weight.layout().shape().clone()));
    (back(w), back(m), back(v))
}
