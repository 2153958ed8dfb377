//! The update in one pass over memory, by threads.

use super::{AdamW, Updated};
use crate::cpu::{
    tensor::{floats, tensor},
    vector::vectorised,
};
use burn::backend::{Flex, flex::FlexTensor};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Numbers that one task works on.
const PIECE: usize = 16 * 1024;

/// The factors of an update, with the corrections of the means worked in.
#[derive(Clone, Copy)]
struct Factors {
    keep: f32,
    beta1: f32,
    beta2: f32,
    /// 1 − β, which β in 32 bits doesn't give: for 0.999 it is off by a hundred-thousandth.
    rest1: f32,
    rest2: f32,
    grow: f32,
    step: f32,
    eps: f32,
}

vectorised! {
    fn piece(f: Factors, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            *m = *m * f.beta1 + g * f.rest1;
            *v = *v * f.beta2 + g * g * f.rest2;
            *w = *w * f.keep - *m / ((*v * f.grow).sqrt() + f.eps) * f.step;
        }
    }
}

/// One update. 32-bit floats on flex only, not under autodiff.
///
/// # Panics
/// On other tensors.
pub fn adamw(by: &AdamW, weight: Tensor<1>, gradient: Tensor<1>, mean: Tensor<1>, square: Tensor<1>) -> Updated {
    let time = by.time as f64;
    let factors = Factors {
        keep: (1.0 - by.rate * by.decay) as f32,
        beta1: by.beta1 as f32,
        beta2: by.beta2 as f32,
        rest1: (1.0 - by.beta1) as f32,
        rest2: (1.0 - by.beta2) as f32,
        grow: (1.0 / (1.0 - by.beta2.powf(time))) as f32,
        step: (by.rate / (1.0 - by.beta1.powf(time))) as f32,
        eps: by.eps as f32,
    };
    let flat = |tensor: Tensor<1>| {
        let tensor: FlexTensor = tensor.try_into_primitive::<Flex>().expect("a tensor on flex");
        tensor.to_contiguous()
    };
    let (weight, gradient, mean, square) = (flat(weight), flat(gradient), flat(mean), flat(square));
    let (mut w, mut m, mut v) = (floats(&weight).to_vec(), floats(&mean).to_vec(), floats(&square).to_vec());
    let pieces = w.par_chunks_mut(PIECE).zip(floats(&gradient).par_chunks(PIECE));
    pieces
        .zip(m.par_chunks_mut(PIECE).zip(v.par_chunks_mut(PIECE)))
        .for_each(|((w, g), (m, v))| piece(factors, w, g, m, v));
    let back = |values| Tensor::from_primitive::<Flex>(tensor(values, weight.layout().shape().clone()));
    (back(w), back(m), back(v))
}
