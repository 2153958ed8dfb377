//! What the kernels for the CPU share: Burn's flex tensors as slices, loops over vector registers, and threads.

pub mod backend_api;
pub mod matrix;
pub mod tensor;
pub mod vector;

use burn::tensor::{DType, Device, Tensor};

/// Whether fused CPU kernels take this tensor: 32-bit floats on flex.
pub fn is_cpu_f32<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}
