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

use burn::{
    backend::flex::Flex,
    tensor::{DType, Device, Tensor, TensorData, kind::Basic},
};
use std::sync::Arc;

/// Whether the fused CPU kernels support this tensor: 32-bit floats on flex, with or without autodiff.
pub fn is_cpu_f32<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// Whether two tensors without autodiff are clones of each other, which share their memory. False on devices other than flex.
///
/// As long as both exist, neither can be changed in place: the same memory means the same values.
pub fn is_same_storage<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> bool {
    let primitive = |tensor: &Tensor<D>| {
        let is_flex = tensor.device() == Device::flex() && !tensor.is_autodiff();
        is_flex.then(|| tensor.clone().try_into_primitive::<Flex>().ok()).flatten()
    };
    let (Some(a), Some(b)) = (primitive(a), primitive(b)) else { return false };
    Arc::ptr_eq(&a.data_arc(), &b.data_arc()) && a.layout() == b.layout() && a.dtype() == b.dtype()
}

/// Returns the values of a tensor on flex, which are in host memory: nothing waits for a device. A tensor that owns contiguous
/// values isn't copied.
///
/// # Panics
/// If the tensor is on another device.
pub fn host_data<const D: usize, K: Basic>(tensor: Tensor<D, K>) -> TensorData {
    assert!(tensor.device() == Device::flex(), "a tensor of the CPU backend");
    tensor.into_data()
}
