//! Changes of a matrix that keep its other values: a product that is added, rows that are replaced.

use burn::tensor::{Bool, Tensor, TensorData};
use kiln_models::parameters::AnyTensor;

/// A change of a matrix that keeps its other values.
pub(super) enum MatrixChange {
    /// s Aᵀ Bᵀ is added; A `[r, rows]`, B `[columns, r]`.
    Add { a: TensorData, b: TensorData, scale: f64 },
    /// Rows are replaced, or columns if the parameter is the transpose of the file's matrix.
    Rows { indices: Vec<usize>, rows: TensorData, transposed: bool },
}

impl MatrixChange {
    /// The changed matrix.
    ///
    /// # Panics
    /// If it is no matrix, or of another size than the change.
    pub fn apply(self, matrix: AnyTensor) -> AnyTensor {
        let [rows, columns] = matrix.shape()[..] else { unreachable!("the parameter was checked to be a matrix") };
        let matrix = matrix.reshape([rows, columns]);
        match self {
            Self::Add { a, b, scale } => {
                let options = (&matrix.device(), matrix.dtype());
                let [a, b] = [a, b].map(|data| Tensor::<2>::from_data(data, options));
                (matrix.clone() + a.transpose().matmul(b.transpose()) * scale).into()
            }
            Self::Rows { indices, rows, transposed: true } => {
                replace_rows(matrix.transpose(), &indices, &rows).transpose().into()
            }
            Self::Rows { indices, rows, transposed: false } => replace_rows(matrix, &indices, &rows).into(),
        }
    }
}

/// The matrix with other rows at these indices.
fn replace_rows(matrix: Tensor<2>, indices: &[usize], rows: &TensorData) -> Tensor<2> {
    let [height, width] = matrix.dims();
    let mut table = vec![0.0f32; height * width];
    let mut mask = vec![false; height * width];
    let values: Vec<f32> = rows.iter::<f32>().collect();
    for (index, row) in indices.iter().zip(values.chunks_exact(width.max(1))) {
        table[index * width..][..width].copy_from_slice(row);
        mask[index * width..][..width].fill(true);
    }
    let options = (&matrix.device(), matrix.dtype());
    let table = Tensor::<2>::from_data(TensorData::new(table, [height, width]), options);
    let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask, [height, width]), &matrix.device());
    matrix.mask_where(mask, table)
}
