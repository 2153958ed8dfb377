//! Order of the rows of q and k in files of programs that rotate interleaved pairs.
//!
//! Rotary positions rotate pairs of rows within each head of 2h rows. Kiln and Hugging Face pair row i with row i + h,
//! llama.cpp pairs rows 2i and 2i + 1 in some of its architectures. Row r of a head in Kiln is therefore row
//! 2 (r mod h) + ⌊r / h⌋ of the head in the file.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;

/// Rows of a matrix or bias, ordered so that the two rows of each rotary pair are adjacent in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPermutation {
    /// Number of heads, each with an even number of rows.
    pub heads: usize,
}

impl RowPermutation {
    /// The parameter's rows, from the file's.
    pub(super) fn to_parameter(self, tensor: TensorData) -> TensorData {
        let rows = num_rows(&tensor);
        gather_rows(tensor, |row| self.file_row(rows, row))
    }

    /// The file's rows, from the parameter's.
    pub(super) fn to_file(self, tensor: TensorData) -> TensorData {
        let rows = num_rows(&tensor);
        gather_rows(tensor, |row| self.parameter_row(rows, row))
    }

    /// The parameter's rows of a packed matrix, still packed.
    pub(super) fn packed_to_parameter(self, matrix: &PackedMatrix) -> PackedMatrix {
        let [rows, _] = matrix.shape();
        matrix.select_rows((0..rows).map(|row| self.file_row(rows, row)))
    }

    /// The row of the file with `rows` rows that is row `row` of the parameter.
    fn file_row(self, rows: usize, row: usize) -> usize {
        let head = (rows / self.heads.max(1)).max(2);
        let (half, within) = (head / 2, row % head);
        row - within + 2 * (within % half) + within / half
    }

    /// The row of the parameter with `rows` rows that is row `row` of the file.
    fn parameter_row(self, rows: usize, row: usize) -> usize {
        let head = (rows / self.heads.max(1)).max(2);
        let (half, within) = (head / 2, row % head);
        row - within + within / 2 + half * (within % 2)
    }
}

fn num_rows(tensor: &TensorData) -> usize {
    tensor.shape().first().copied().unwrap_or(1)
}

/// The rows of a tensor in another order: row r comes from row `source(r)`. Values of any type are moved unchanged.
fn gather_rows(tensor: TensorData, source: impl Fn(usize) -> usize) -> TensorData {
    let (shape, dtype, rows) = (tensor.shape().to_vec(), tensor.dtype(), num_rows(&tensor));
    let bytes = tensor.as_bytes();
    let size = bytes.len() / rows.max(1);
    let mut gathered = Vec::with_capacity(bytes.len());
    for row in (0..rows).map(source) {
        gathered.extend_from_slice(&bytes[row * size..(row + 1) * size]);
    }
    TensorData::from_bytes_vec(gathered, shape, dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_are_half_a_head_apart_are_adjacent_in_the_file() {
        let rows = RowPermutation { heads: 2 };
        let parameter = TensorData::new((0..12).map(|i| i as f32).collect::<Vec<_>>(), [12]);
        let file = rows.to_file(parameter.clone());
        assert_eq!(file.as_slice::<f32>().unwrap(), [0., 3., 1., 4., 2., 5., 6., 9., 7., 10., 8., 11.]);
        assert_eq!(rows.to_parameter(file), parameter);
    }

    #[test]
    fn values_of_16_bits_are_moved_unchanged() {
        let rows = RowPermutation { heads: 1 };
        let parameter = TensorData::new((0..8u16).collect::<Vec<_>>(), [4, 2]);
        let file = rows.to_file(parameter.clone());
        assert_eq!(file.as_slice::<u16>().unwrap(), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(rows.to_parameter(file), parameter);
    }
}
