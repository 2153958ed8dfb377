//! How a tensor of llama.cpp's differs from Hugging Face's of the same name.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;

/// How numbers are ordered in the GGUF file, against Hugging Face's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The same.
    Same,
    /// Rows and columns change places.
    Sides,
    /// Rotary pairs lie side by side within each query head; Hugging Face's are half a head apart.
    Queries,
    /// The same within each key head.
    Keys,
}

/// Heads of queries and of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    pub queries: usize,
    pub keys: usize,
}

impl Turn {
    /// The shape on the other side.
    pub(super) fn shape(self, shape: &[usize]) -> Vec<usize> {
        match self {
            Turn::Sides => shape.iter().rev().copied().collect(),
            _ => shape.to_vec(),
        }
    }

    /// Whether a tensor of this shape can be turned: rows that heads share, in pairs.
    pub(super) fn fits(self, shape: &[usize], heads: Heads) -> bool {
        match (self, self.heads(heads), shape) {
            (Turn::Sides, _, shape) => shape.len() <= 2,
            (_, Some(heads), [rows, ..]) => heads > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(2),
            (_, Some(_), []) => false,
            _ => true,
        }
    }

    fn heads(self, heads: Heads) -> Option<usize> {
        match self {
            Turn::Queries => Some(heads.queries),
            Turn::Keys => Some(heads.keys),
            _ => None,
        }
    }

    /// The same of packed rows; none where sides change places, for numbers are packed along one of them.
    pub(super) fn rows_to_hub(self, packed: PackedMatrix, heads: Heads) -> Option<PackedMatrix> {
        let [rows, columns] = packed.size();
        match (self, self.heads(heads)) {
            (Turn::Same, _) => Some(packed),
            (_, Some(count)) if self.fits(&[rows, columns], heads) => {
                let head = rows / count.max(1);
                Some(packed.rows((0..rows).map(|row| row / head * head + to_hub(head / 2, row % head))))
            }
            _ => None,
        }
    }

    /// From the GGUF file to Hugging Face's order, of a tensor that [`fits`](Self::fits).
    pub(super) fn to_hub(self, tensor: TensorData, heads: Heads) -> TensorData {
        self.turned(tensor, heads, to_hub)
    }

    /// The reverse.
    pub(super) fn to_gguf(self, tensor: TensorData, heads: Heads) -> TensorData {
        self.turned(tensor, heads, |half, row| row / 2 + half * (row % 2))
    }

    /// `from(half, row)`: where a row of a head of 2 `half` rows comes from.
    fn turned(self, tensor: TensorData, heads: Heads, from: impl Fn(usize, usize) -> usize) -> TensorData {
        let shape = tensor.shape().to_vec();
        let columns: usize = shape.iter().skip(1).product();
        match (self, self.heads(heads)) {
            (Turn::Sides, _) if shape.len() == 2 => {
                let values: Vec<f32> = numbers(tensor);
                let turned = (0..values.len()).map(|i| values[i % shape[0] * columns + i / shape[0]]).collect();
                TensorData::new::<f32, _>(turned, [shape[1], shape[0]])
            }
            (_, Some(heads)) => {
                let (values, head) = (numbers(tensor), shape[0] / heads);
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
fn to_hub(half: usize, row: usize) -> usize {
    2 * (row % half) + row / half
}

fn numbers(tensor: TensorData) -> Vec<f32> {
    tensor.convert::<f32>().try_into_vec().unwrap_or_default()
}
