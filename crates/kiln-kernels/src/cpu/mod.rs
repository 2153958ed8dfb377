//! Shared code of the CPU kernels.
//!
//! * [`tensor`]: Burn's flex tensors as slices, and loops over rows by threads with a fixed order of sums;
//! * [`vector`]: functions compiled for AVX2 and for any machine, with exp, tanh, sums and maxima in fixed lanes;
//! * [`matrix`]: strided matrices, their products, and output memory that threads share by head;
//! * [`rows`]: rows of a weight gathered in another order, or transposed;
//! * [`backend_api`]: the imports of an operation with its own backward pass.
//!
//! Tasks hold about 16,384 values (64 KiB of `f32`): they fit into a core's L2 cache, and handing one to a thread costs
//! little compared to its work. The size is a constant, so the split into tasks never depends on the number of threads.

pub mod backend_api;
pub mod matrix;
pub mod rows;
pub mod tensor;
pub mod vector;

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Whether the fused CPU kernels support this tensor: 32-bit floats on flex, with or without autodiff.
pub fn is_cpu_f32<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// Returns the values of a tensor on flex, which are in host memory: nothing waits for a device. A tensor that owns contiguous
/// values isn't copied.
///
/// # Panics
/// If the tensor is on another device.
pub fn host_data<const D: usize>(tensor: Tensor<D>) -> TensorData {
    assert!(tensor.device() == Device::flex(), "a tensor of the CPU backend");
    tensor.into_data()
}
