//! Logarithm of the logistic sigmoid: ln σ(x) = min(x, 0) − ln(1 + e^−|x|); with it softplus(x) = −ln σ(−x).
//!
//! Its gradient is g σ(−x). Element by element: no sums. Decays of recurrent layers are made from it. Bound against the
//! reference: 1e-6 · max(1, |x|) for values and gradients (`log_sigmoid_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// ln σ(x) of every element.
pub fn log_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if crate::cpu::is_cpu_f32(&x) { fused::log_sigmoid(x) } else { reference::log_sigmoid(x) }
}

/// ln(1 + e^x) of every element.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    log_sigmoid(x.neg()).neg()
}
