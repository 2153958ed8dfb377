//! Dropout as a product with a mask that is drawn on the host: the oracle, on every backend and float type.

use super::Dropout;
use crate::cpu::tensor::par_fill_rows;
use burn::tensor::{Device, Tensor, TensorData};

/// x ⊙ mask.
pub fn dropout<const D: usize>(x: Tensor<D>, dropout: &Dropout) -> Tensor<D> {
    let factors = mask(dropout, x.dims(), &x.device().without_autodiff()).cast(x.dtype());
    x * factors
}

/// Factors of a tensor of this shape, 0 or 1 / (1 − p), on a device.
pub fn mask<const D: usize>(dropout: &Dropout, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut factors = vec![0.0; shape.iter().product()];
    par_fill_rows(&mut factors, super::NUMBERS, |row, out| dropout.fill_factors(row * super::NUMBERS, out));
    Tensor::from_data(TensorData::new(factors, shape), device)
}
