//! How a tensor of llama.cpp's differs from Hugging Face's of the same name.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;

/// How numbers are ordered in the GGUF file, against Hugging Face's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPermutation {
    /// The same.
    Identity,
    /// Rows and columns change places.
    Transpose,
    /// Rotary pairs lie side by side within each query head; Hugging Face's are half a head apart.
    QueryHeads,
    /// The same within each key head.
    KeyHeads,
}

/// Heads of queries and of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadCounts {
    pub queries: usize,
    pub keys: usize,
}

impl RowPermutation {
    /// The shape on the other side.
    pub(super) fn permuted_shape(self, shape: &[usize]) -> Vec<usize> {
        match self {
            RowPermutation::Transpose => shape.iter().rev().copied().collect(),
            _ => shape.to_vec(),
        }
    }

    /// Whether a tensor of this shape can be turned: rows that heads share, in pairs.
    pub(super) fn can_apply(self, shape: &[usize], heads: HeadCounts) -> bool {
        match (self, self.num_heads(heads), shape) {
            (RowPermutation::Transpose, _, shape) => shape.len() <= 2,
            (_, Some(heads), [rows, ..]) => heads > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(2),
            (_, Some(_), []) => false,
            _ => true,
        }
    }

    fn num_heads(self, heads: HeadCounts) -> Option<usize> {
        match self {
            RowPermutation::QueryHeads => Some(heads.queries),
            RowPermutation::KeyHeads => Some(heads.keys),
            _ => None,
        }
    }

    /// The same of packed rows; none where sides change places, for numbers are packed along one of them.
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

    /// From the GGUF file to Hugging Face's order, of a tensor that [`fits`](Self::fits).
    pub(super) fn to_hf(self, tensor: TensorData, heads: HeadCounts) -> TensorData {
        self.permute(tensor, heads, gguf_row)
    }

    /// The reverse.
    pub(super) fn to_gguf(self, tensor: TensorData, heads: HeadCounts) -> TensorData {
        self.permute(tensor, heads, |half, row| row / 2 + half * (row % 2))
    }

    /// `from(half, row)`: where a row of a head of 2 `half` rows comes from.
    fn permute(self, tensor: TensorData, heads: HeadCounts, from: impl Fn(usize, usize) -> usize) -> TensorData {
        let shape = tensor.shape().to_vec();
        let columns: usize = shape.iter().skip(1).product();
        match (self, self.num_heads(heads)) {
            (RowPermutation::Transpose, _) if shape.len() == 2 => {
                let values: Vec<f32> = to_f32_values(tensor);
                let turned = (0..values.len()).map(|i| values[i % shape[0] * columns + i / shape[0]]).collect();
                TensorData::new::<f32, _>(turned, [shape[1], shape[0]])
            }
            (_, Some(heads)) => {
                let (values, head) = (to_f32_values(tensor), shape[0] / heads);
                let row = |row: usize| (row / head * head + from(head / 2, row % head)) * columns;
                let turned: Vec<f32> =
                    (0..shape[0]).flat_map(|r| values[row(r)..row(r) + columns].iter().copied()).collect();
                TensorData::new(turned, shape)
            }
            _ => tensor,
        }
    }
}

/// Where a row of a head of 2 `half` rows comes from in the GGUF file.
fn gguf_row(half: usize, row: usize) -> usize {
    2 * (row % half) + row / half
}

fn to_f32_values(tensor: TensorData) -> Vec<f32> {
    tensor.convert::<f32>().try_into_vec().unwrap_or_default()
}
