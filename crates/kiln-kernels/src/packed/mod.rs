//! Quantized matrices in the block formats of GGUF (ggml types), and linear maps with them.
//!
//! A format ([`GgmlType`]) packs a fixed number of values into a block of bytes, with its own scales. A value is
//! scale · q + offset with q a small integer. A row is a whole number of blocks, so rows can be read on their own.
//!
//! | format | values per block | bytes per block | bits per value | product without dequantization |
//! |---|---|---|---|---|
//! | F32 | 1 | 4 | 32 | |
//! | F16, BF16 | 1 | 2 | 16 | yes |
//! | Q8_0 | 32 | 34 | 8.5 | yes |
//! | Q5_0, Q5_1 | 32 | 22, 24 | 5.5, 6 | |
//! | Q4_0, Q4_1 | 32 | 18, 20 | 4.5, 5 | yes |
//! | Q8_K | 256 | 292 | 9.125 | |
//! | Q6_K | 256 | 210 | 6.5625 | yes |
//! | Q5_K | 256 | 176 | 5.5 | |
//! | Q4_K | 256 | 144 | 4.5 | yes |
//! | Q3_K | 256 | 110 | 3.4375 | |
//! | Q2_K | 256 | 84 | 2.625 | |
//!
//! The byte layouts are those of `ggml-common.h` and `ggml-quants.c` of llama.cpp. [`packed_linear`] computes x Wᵀ from the
//! packed rows and is differentiable in x; W isn't trained. Bound against the product with dequantized values: 1e-5 of the
//! greatest element, forward and backward (`products_and_gradients_are_those_of_the_numbers`).

mod f32x16;
mod float_formats;
mod fused;
mod group_quants;
mod k_quants;
mod legacy_quants;
mod matrix;
pub mod quantize;

pub use matrix::PackedMatrix;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Block format of packed values (ggml type).
#[derive(Debug)]
pub struct GgmlType {
    /// Name as llama.cpp writes it: `Q4_K`.
    pub name: &'static str,
    /// Type id in GGUF files (`ggml_type`).
    pub type_id: u32,
    /// Number of values in a block.
    pub block_size: usize,
    /// Number of bytes of a block.
    pub block_bytes: usize,
    /// Function that dequantizes whole blocks.
    dequantize: fn(&[u8], &mut [f32]),
    /// Matrix–vector product from packed rows, for formats that have one.
    mat_vec: Option<MatVecFn>,
}

/// Matrix–vector product: (packed rows, x, out), out_r = Σ_c row_rc x_c.
type MatVecFn = fn(&[u8], &[f32], &mut [f32]);

impl PartialEq for GgmlType {
    fn eq(&self, other: &Self) -> bool {
        self.type_id == other.type_id
    }
}

impl GgmlType {
    /// Dequantizes whole blocks into `out`. Blocks without room in `out`, and elements without a block, are left unchanged.
    pub fn dequantize(&self, blocks: &[u8], out: &mut [f32]) {
        (self.dequantize)(blocks, out);
    }

    /// Whether a product with one vector reads the packed rows directly instead of dequantizing them first.
    pub fn has_mat_vec(&self) -> bool {
        self.mat_vec.is_some()
    }

    /// Returns the number of bytes of `values` values; `None` if they don't fill whole blocks, or the number overflows.
    pub fn byte_len(&self, values: usize) -> Option<usize> {
        values
            .is_multiple_of(self.block_size)
            .then(|| (values / self.block_size).checked_mul(self.block_bytes))
            .flatten()
    }

    /// Returns the format with this type id, or `None` if Kiln doesn't support it.
    pub fn from_type_id(type_id: u32) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|format| format.type_id == type_id)
    }

    /// Returns the format of this name (`Q4_K`, case-sensitive), or `None` if Kiln doesn't support it.
    pub fn from_name(name: &str) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|format| format.name == name)
    }
}

/// Format whose rows are dequantized before every product.
const fn dequantize_only(
    name: &'static str,
    type_id: u32,
    [block_size, block_bytes]: [usize; 2],
    dequantize: fn(&[u8], &mut [f32]),
) -> GgmlType {
    GgmlType { name, type_id, block_size, block_bytes, dequantize, mat_vec: None }
}

/// Format with a matrix–vector product from packed rows: `$file::$format` has `mat_vec` and `dequantize`.
macro_rules! with_mat_vec {
    ($name:literal, $type_id:literal, $block:expr, $file:ident::$format:ident) => {
        GgmlType {
            mat_vec: Some($file::$format::mat_vec),
            ..dequantize_only($name, $type_id, $block, $file::$format::dequantize)
        }
    };
}

/// All supported formats, by ascending type id.
pub static GGML_TYPES: [GgmlType; 14] = [
    dequantize_only("F32", 0, [1, 4], float_formats::dequantize_f32),
    with_mat_vec!("F16", 1, [1, 2], float_formats::f16_format),
    with_mat_vec!("Q4_0", 2, [32, 18], group_quants::q4_0),
    with_mat_vec!("Q4_1", 3, [32, 20], group_quants::q4_1),
    dequantize_only("Q5_0", 6, [32, 22], legacy_quants::q5_0),
    dequantize_only("Q5_1", 7, [32, 24], legacy_quants::q5_1),
    with_mat_vec!("Q8_0", 8, [32, 34], group_quants::q8_0),
    dequantize_only("Q2_K", 10, [256, 84], k_quants::q2_k),
    dequantize_only("Q3_K", 11, [256, 110], k_quants::q3_k),
    with_mat_vec!("Q4_K", 12, [256, 144], group_quants::q4_k),
    dequantize_only("Q5_K", 13, [256, 176], k_quants::q5_k),
    with_mat_vec!("Q6_K", 14, [256, 210], group_quants::q6_k),
    dequantize_only("Q8_K", 15, [256, 292], k_quants::q8_k),
    with_mat_vec!("BF16", 30, [1, 2], float_formats::bf16_format),
];

/// Linear map x Wᵀ with a packed matrix W `[rows, columns]`: `x […, columns] → […, rows]`. Differentiable in x.
///
/// # Panics
/// If the last dimension of x isn't the number of columns.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    if crate::cpu::is_cpu_f32(&x) { fused::packed_linear(x, matrix) } else { packed_linear_reference(x, matrix) }
}

/// Embedding lookup in a packed matrix: rows `ids [B, T]`, each below the number of rows, dequantized `→ [B, T, columns]`.
///
/// On the CPU without autodiff only the rows that are read are dequantized, otherwise the whole matrix.
pub fn packed_rows(ids: Tensor<2, Int>, matrix: &PackedMatrix) -> Tensor<3> {
    if ids.device() == Device::flex() && !ids.device().is_autodiff() {
        fused::packed_rows(ids, matrix)
    } else {
        let table = TensorData::new(matrix.dequantize(), matrix.shape());
        burn::tensor::module::embedding(Tensor::from_data(table, &ids.device()), ids)
    }
}

/// Linear map x Wᵀ by dequantizing the whole matrix: the oracle, on every backend and float type.
pub fn packed_linear_reference<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    let weight = TensorData::new(matrix.dequantize(), matrix.shape());
    let weight = Tensor::<2>::from_data(weight, (&x.device().without_autodiff(), x.dtype()));
    let weight = if x.is_autodiff() { weight.autodiff() } else { weight };
    burn::tensor::module::linear(x, weight.transpose(), None)
}

/// Calls `dequantize` for each block of `BYTES` bytes with its `BLOCK` values of `out`.
fn for_each_block<const BYTES: usize, const BLOCK: usize>(
    bytes: &[u8],
    out: &mut [f32],
    dequantize: impl Fn(&[u8; BYTES], &mut [f32; BLOCK]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<BLOCK>();
    blocks.iter().zip(out).for_each(|(block, out)| dequantize(block, out));
}

/// IEEE half-precision number at a byte offset, little-endian.
fn read_f16(block: &[u8], offset: usize) -> f32 {
    burn::tensor::f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}
