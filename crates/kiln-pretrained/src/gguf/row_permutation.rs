//! How the rows of a tensor in a GGUF file differ from those of the same tensor in the Hugging Face format.
//!
//! Rotary embeddings rotate pairs of rows within each head of size 2h. Hugging Face pairs row i with row i + h, llama.cpp
//! pairs rows 2i and 2i + 1. Row r of a Hugging Face head is therefore row 2 (r mod h) + ⌊r / h⌋ of the GGUF head.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;

/// The order of a tensor's values in the GGUF file, compared with Hugging Face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPermutation {
    /// The same order.
    Identity,
    /// Rows and columns are exchanged.
    Transpose,
    /// Rotary pairs are adjacent within each query head instead of half a head apart.
    QueryHeads,
    /// Rotary pairs are adjacent within each key head instead of half a head apart.
    KeyHeads,
}

/// Numbers of query heads and of key heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadCounts {
    pub queries: usize,
    pub keys: usize,
}

impl RowPermutation {
    /// Returns the shape in the other format.
    pub(super) fn permuted_shape(self, shape: &[usize]) -> Vec<usize> {
        match self {
            RowPermutation::Transpose => shape.iter().rev().copied().collect(),
            _ => shape.to_vec(),
        }
    }

    /// Whether a tensor of this shape can be permuted: heads must divide its rows into even numbers of rows.
    pub(super) fn can_apply(self, shape: &[usize], heads: HeadCounts) -> bool {
        match (self, self.num_heads(heads), shape) {
            (RowPermutation::Transpose, _, shape) => shape.len() <= 2,
            (_, Some(heads), [rows, ..]) => heads > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(2),
            (_, Some(_), []) => false,
            _ => true,
        }
    }

    /// The number of heads that share the rows.
    fn num_heads(self, heads: HeadCounts) -> Option<usize> {
        match self {
            RowPermutation::QueryHeads => Some(heads.queries),
            RowPermutation::KeyHeads => Some(heads.keys),
            _ => None,
        }
    }

    /// Permutes the rows of a packed matrix to Hugging Face order, without unpacking them. `None` for a transposition,
    /// because blocks run along rows, and for shapes that cannot be permuted.
    pub(super) fn packed_to_hf(self, packed: PackedMatrix, heads: HeadCounts) -> Option<PackedMatrix> {
        let [rows, columns] = packed.shape();
        match (self, self.num_heads(heads)) {
            (RowPermutation::Identity, _) => Some(packed),
            (_, Some(count)) if self.can_apply(&[rows, columns], heads) => {
                let head = rows / count.max(1);
                Some(packed.select_rows((0..rows).map(|row| row / head * head + gguf_row(head / 2, row % head))))
            }
            _ => None,
        }
    }

    /// Permutes a tensor from GGUF to Hugging Face order. The shape must satisfy [`can_apply`](Self::can_apply).
    pub(super) fn to_hf(self, tensor: TensorData, heads: HeadCounts) -> TensorData {
        self.permute(tensor, heads, gguf_row)
    }

    /// Permutes a tensor from Hugging Face to GGUF order. The shape must satisfy [`can_apply`](Self::can_apply).
    pub(super) fn to_gguf(self, tensor: TensorData, heads: HeadCounts) -> TensorData {
        self.permute(tensor, heads, hf_row)
    }

    /// Transposes a matrix, or gathers rows within each head: row r of a head comes from row `source_row(h, r)`, for heads
    /// of 2h rows.
    fn permute(self, tensor: TensorData, heads: HeadCounts, source_row: impl Fn(usize, usize) -> usize) -> TensorData {
        let shape = tensor.shape().to_vec();
        let columns: usize = shape.iter().skip(1).product();
        match (self, self.num_heads(heads)) {
            (RowPermutation::Transpose, _) if shape.len() == 2 => {
                let values = to_f32_values(tensor);
                let transposed = (0..values.len()).map(|i| values[i % shape[0] * columns + i / shape[0]]).collect();
                TensorData::new::<f32, _>(transposed, [shape[1], shape[0]])
            }
            (_, Some(heads)) => {
                let values = to_f32_values(tensor);
                let head = shape[0] / heads;
                let mut permuted: Vec<f32> = Vec::with_capacity(values.len());
                for row in 0..shape[0] {
                    let start = (row / head * head + source_row(head / 2, row % head)) * columns;
                    permuted.extend_from_slice(&values[start..start + columns]);
                }
                TensorData::new(permuted, shape)
            }
            _ => tensor,
        }
    }
}

/// The row of a GGUF head with 2 `half` rows that is row `row` of the Hugging Face head.
fn gguf_row(half: usize, row: usize) -> usize {
    2 * (row % half) + row / half
}

/// The row of a Hugging Face head with 2 `half` rows that is row `row` of the GGUF head.
fn hf_row(half: usize, row: usize) -> usize {
    row / 2 + half * (row % 2)
}

fn to_f32_values(tensor: TensorData) -> Vec<f32> {
    tensor.convert::<f32>().try_into_vec().unwrap_or_default()
}
