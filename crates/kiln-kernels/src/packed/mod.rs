//! Numbers packed in blocks, each with scales of its own, as GGUF files hold them.
//!
//! A packing says how many numbers a block has, how many bytes it takes, and what its bytes stand for. Rows are packed
//! one by one, so that a row's width is a multiple of the block's.

mod float;
mod fused;
mod groups;
mod k;
mod legacy;
mod matrix;
pub mod pack;
mod sixteen;

pub use matrix::PackedMatrix;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// A way to pack numbers.
#[derive(Debug)]
pub struct Packing {
    /// Its name in the field: `Q4_K`.
    pub name: &'static str,
    /// Its number in a GGUF file.
    pub code: u32,
    /// Numbers a block.
    pub block: usize,
    /// Bytes a block.
    pub bytes: usize,
    unpack: fn(&[u8], &mut [f32]),
    /// Σ row · x of each row, if it is computed from packed rows.
    product: Option<Product>,
}

/// Of packed rows and x: the products.
type Product = fn(&[u8], &[f32], &mut [f32]);

impl PartialEq for Packing {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Packing {
    /// The numbers of whole blocks. What of either side has no counterpart in the other is left alone.
    pub fn unpack(&self, blocks: &[u8], out: &mut [f32]) {
        (self.unpack)(blocks, out);
    }

    /// Whether products are computed from packed rows, without unpacking them.
    pub fn multiplies(&self) -> bool {
        self.product.is_some()
    }

    /// Bytes of `numbers` numbers; `None` if they don't fill blocks, or are too many to count.
    pub fn size(&self, numbers: usize) -> Option<usize> {
        numbers.is_multiple_of(self.block).then(|| (numbers / self.block).checked_mul(self.bytes)).flatten()
    }

    /// The packing with this number in GGUF files.
    pub fn of(code: u32) -> Option<&'static Packing> {
        PACKINGS.iter().find(|packing| packing.code == code)
    }

    /// The packing of this name.
    pub fn named(name: &str) -> Option<&'static Packing> {
        PACKINGS.iter().find(|packing| packing.name == name)
    }
}

const fn packing(name: &'static str, code: u32, [block, bytes]: [usize; 2], unpack: fn(&[u8], &mut [f32])) -> Packing {
    Packing { name, code, block, bytes, unpack, product: None }
}

/// One whose rows are multiplied as they are.
macro_rules! multiplied {
    ($name:literal, $code:literal, $block:expr, $file:ident::$own:ident) => {
        Packing { product: Some($file::$own::products), ..packing($name, $code, $block, $file::$own::unpack) }
    };
}

/// All that Kiln knows.
pub static PACKINGS: [Packing; 14] = [
    packing("F32", 0, [1, 4], float::f32),
    multiplied!("F16", 1, [1, 2], float::half),
    multiplied!("Q4_0", 2, [32, 18], groups::q4_0),
    multiplied!("Q4_1", 3, [32, 20], groups::q4_1),
    packing("Q5_0", 6, [32, 22], legacy::q5_0),
    packing("Q5_1", 7, [32, 24], legacy::q5_1),
    multiplied!("Q8_0", 8, [32, 34], groups::q8_0),
    packing("Q2_K", 10, [256, 84], k::q2),
    packing("Q3_K", 11, [256, 110], k::q3),
    multiplied!("Q4_K", 12, [256, 144], groups::q4_k),
    packing("Q5_K", 13, [256, 176], k::q5),
    multiplied!("Q6_K", 14, [256, 210], groups::q6_k),
    packing("Q8_K", 15, [256, 292], k::q8),
    multiplied!("BF16", 30, [1, 2], float::upper),
];

/// Each row of x with each row of the matrix, x Wᵀ: `[…, columns] → […, rows]`.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    if crate::cpu::takes(&x) { fused::packed_linear(x, matrix) } else { reference(x, matrix) }
}

/// Rows of the matrix by number, `[B, T] → [B, T, columns]`; no gradient is wanted.
pub fn packed_rows(ids: Tensor<2, Int>, matrix: &PackedMatrix) -> Tensor<3> {
    if ids.device() == Device::flex() && !ids.device().is_autodiff() {
        fused::packed_rows(ids, matrix)
    } else {
        let table = TensorData::new(matrix.unpacked(), matrix.size());
        burn::tensor::module::embedding(Tensor::from_data(table, &ids.device()), ids)
    }
}

/// The same by the numbers that the rows stand for.
pub fn reference<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    let weight = TensorData::new(matrix.unpacked(), matrix.size());
    let weight = Tensor::<2>::from_data(weight, (&x.device().without_autodiff(), x.dtype()));
    let weight = if x.is_autodiff() { weight.autodiff() } else { weight };
    burn::tensor::module::linear(x, weight.transpose(), None)
}

/// Each block of `BYTES` bytes to its `BLOCK` numbers.
fn each<const BYTES: usize, const BLOCK: usize>(
    bytes: &[u8],
    out: &mut [f32],
    unpack: impl Fn(&[u8; BYTES], &mut [f32; BLOCK]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<BLOCK>();
    blocks.iter().zip(out).for_each(|(block, out)| unpack(block, out));
}

/// The 16-bit float at `at`.
fn half(block: &[u8], at: usize) -> f32 {
    burn::tensor::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
