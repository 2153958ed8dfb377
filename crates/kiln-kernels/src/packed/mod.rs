//! Numbers packed in blocks, each with scales of its own, as GGUF files hold them.
//!
//! A packing says how many numbers a block has, how many bytes it takes, and what its bytes stand for. Rows are packed
//! one by one, so that a row's width is a multiple of the block's.

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

/// A way to pack numbers.
#[derive(Debug)]
pub struct GgmlType {
    /// Its name in the field: `Q4_K`.
    pub name: &'static str,
    /// Its number in a GGUF file.
    pub type_id: u32,
    /// Numbers a block.
    pub block_size: usize,
    /// Bytes a block.
    pub block_bytes: usize,
    dequantize: fn(&[u8], &mut [f32]),
    /// Σ row · x of each row, if it is computed from packed rows.
    mat_vec: Option<MatVecFn>,
}

/// Of packed rows and x: the products.
type MatVecFn = fn(&[u8], &[f32], &mut [f32]);

impl PartialEq for GgmlType {
    fn eq(&self, other: &Self) -> bool {
        self.type_id == other.type_id
    }
}

impl GgmlType {
    /// The numbers of whole blocks. What of either side has no counterpart in the other is left alone.
    pub fn dequantize(&self, blocks: &[u8], out: &mut [f32]) {
        (self.dequantize)(blocks, out);
    }

    /// Whether products are computed from packed rows, without unpacking them.
    pub fn has_mat_vec(&self) -> bool {
        self.mat_vec.is_some()
    }

    /// Bytes of `numbers` numbers; `None` if they don't fill blocks, or are too many to count.
    pub fn byte_len(&self, numbers: usize) -> Option<usize> {
        numbers
            .is_multiple_of(self.block_size)
            .then(|| (numbers / self.block_size).checked_mul(self.block_bytes))
            .flatten()
    }

    /// The packing with this number in GGUF files.
    pub fn from_type_id(code: u32) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|packing| packing.type_id == code)
    }

    /// The packing of this name.
    pub fn from_name(name: &str) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|packing| packing.name == name)
    }
}

const fn dequantize_only(
    name: &'static str,
    code: u32,
    [block, bytes]: [usize; 2],
    unpack: fn(&[u8], &mut [f32]),
) -> GgmlType {
    GgmlType { name, type_id: code, block_size: block, block_bytes: bytes, dequantize: unpack, mat_vec: None }
}

/// One whose rows are multiplied as they are.
macro_rules! with_mat_vec {
    ($name:literal, $code:literal, $block:expr, $file:ident::$own:ident) => {
        GgmlType {
            mat_vec: Some($file::$own::mat_vec),
            ..dequantize_only($name, $code, $block, $file::$own::dequantize)
        }
    };
}

/// All that Kiln knows.
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

/// Each row of x with each row of the matrix, x Wᵀ: `[…, columns] → […, rows]`.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    if crate::cpu::is_cpu_f32(&x) { fused::packed_linear(x, matrix) } else { packed_linear_reference(x, matrix) }
}

/// Rows of the matrix by number, `[B, T] → [B, T, columns]`; no gradient is wanted.
pub fn packed_rows(ids: Tensor<2, Int>, matrix: &PackedMatrix) -> Tensor<3> {
    if ids.device() == Device::flex() && !ids.device().is_autodiff() {
        fused::packed_rows(ids, matrix)
    } else {
        let table = TensorData::new(matrix.dequantize(), matrix.shape());
        burn::tensor::module::embedding(Tensor::from_data(table, &ids.device()), ids)
    }
}

/// The same by the numbers that the rows stand for.
pub fn packed_linear_reference<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    let weight = TensorData::new(matrix.dequantize(), matrix.shape());
    let weight = Tensor::<2>::from_data(weight, (&x.device().without_autodiff(), x.dtype()));
    let weight = if x.is_autodiff() { weight.autodiff() } else { weight };
    burn::tensor::module::linear(x, weight.transpose(), None)
}

/// Each block of `BYTES` bytes to its `BLOCK` numbers.
fn for_each_block<const BYTES: usize, const BLOCK: usize>(
    bytes: &[u8],
    out: &mut [f32],
    unpack: impl Fn(&[u8; BYTES], &mut [f32; BLOCK]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<BLOCK>();
    blocks.iter().zip(out).for_each(|(block, out)| unpack(block, out));
}

/// The 16-bit float at `at`.
fn read_f16(block: &[u8], at: usize) -> f32 {
    burn::tensor::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
