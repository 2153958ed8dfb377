//! Quantized matrices in the block formats of GGUF (ggml types), and linear maps with them.
//!
//! A format ([`GgmlType`]) packs a fixed number of values into a block of bytes, with its own scales. A value is
//! scale · q + offset with q a small integer or a table's entry. A row is a whole number of blocks, so rows can be read on their own.
//!
//! | format | values per block | bytes per block | bits per value | product without dequantization |
//! |---|---|---|---|---|
//! | F32 | 1 | 4 | 32 | |
//! | F16, BF16 | 1 | 2 | 16 | yes |
//! | Q8_0 | 32 | 34 | 8.5 | yes |
//! | Q5_0, Q5_1 | 32 | 22, 24 | 5.5, 6 | yes |
//! | Q4_0, Q4_1, IQ4_NL | 32 | 18, 20, 18 | 4.5, 5, 4.5 | yes |
//! | MXFP4 | 32 | 17 | 4.25 | yes |
//! | Q8_K | 256 | 292 | 9.125 | yes |
//! | Q6_K | 256 | 210 | 6.5625 | yes |
//! | Q5_K | 256 | 176 | 5.5 | yes |
//! | Q4_K | 256 | 144 | 4.5 | yes |
//! | IQ4_XS | 256 | 136 | 4.25 | yes |
//! | Q3_K | 256 | 110 | 3.4375 | yes |
//! | Q2_K | 256 | 84 | 2.625 | yes |
//!
//! The byte layouts are those of `ggml-common.h` and `ggml-quants.c` of llama.cpp. [`packed_linear`] computes x Wᵀ from the
//! packed rows and is differentiable in x; W isn't trained. Bound against the product with dequantized values: 1e-5 of the
//! greatest element, forward and backward (`products_and_gradients_are_those_of_the_numbers`).
//!
//! [`half_linear`] and [`half_embedding`] are the same for weights that are tensors of 16-bit floats. They are differentiable
//! in the weight too, with a gradient in f32: full fine-tuning with two bytes per weight.

//!
//! [`packed_grouped_linear`] is the product with a [`PackedStack`], the packed experts of a mixture.

pub(crate) mod f32x16;
mod float_formats;
mod fused;
mod ggml_type;
mod group_quants;
mod half;
pub mod integer_blocks;
mod matrix;
mod placeholder;
pub mod quantize;
mod row_tiles;
mod stack;

pub(crate) use fused::with_last_dim;
pub use ggml_type::{GGML_TYPES, GgmlType};
pub(crate) use half::{HalfMatrix, StoredWeight, float_rows};
pub use half::{half_embedding, half_linear, half_linear_reference, is_half};
pub use matrix::PackedMatrix;
pub(crate) use matrix::PackedRef;
pub use placeholder::{is_placeholder, placeholder};
pub use stack::{PackedStack, packed_grouped_linear, packed_grouped_linear_reference};

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Linear map x Wᵀ with a packed matrix W `[rows, columns]`: `x […, columns] → […, rows]`. Differentiable in x.
///
/// # Panics
/// If the last dimension of x isn't the number of columns.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    if crate::cpu::is_cpu_f32(&x) { fused::packed_linear(x, matrix) } else { packed_linear_reference(x, matrix) }
}

/// Embedding lookup in a packed matrix: rows `ids [B, T]`, each below the number of rows, dequantized `→ [B, T, columns]`.
/// Neither the ids nor the matrix have a gradient, so the result is a constant.
///
/// On the CPU only the rows that are read are dequantized, otherwise the whole matrix.
pub fn packed_rows(ids: Tensor<2, Int>, matrix: &PackedMatrix) -> Tensor<3> {
    let device = ids.device();
    if device != Device::flex() {
        let table = TensorData::new(matrix.dequantize(), matrix.shape());
        return burn::tensor::module::embedding(Tensor::from_data(table, &device), ids);
    }
    if device.is_autodiff() {
        fused::packed_rows(ids.inner(), matrix).autodiff()
    } else {
        fused::packed_rows(ids, matrix)
    }
}

/// Linear map x Wᵀ by dequantizing the whole matrix: the oracle, on every backend and float type.
pub fn packed_linear_reference<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    let weight = TensorData::new(matrix.dequantize(), matrix.shape());
    let weight = Tensor::<2>::from_data(weight, (&x.device().without_autodiff(), x.dtype()));
    let weight = if x.is_autodiff() { weight.autodiff() } else { weight };
    burn::tensor::module::linear(x, weight.transpose(), None)
}
