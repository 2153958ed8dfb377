//! Vectors over all heads that a file has head by head, as a matrix `[heads, head width]` or as a tensor for each head.
//!
//! All else of a [`Binding`] (elements, slices) is about that matrix.

use super::binding::Binding;
use burn::tensor::TensorData;

impl Binding {
    /// Shape as which the file has a parameter of this shape: a matrix of [`rows`](Self::rows) in place of a vector.
    pub(super) fn viewed_shape(&self, parameter: &[usize]) -> Vec<usize> {
        match self.rows {
            Some(rows) => vec![rows, parameter.iter().product::<usize>() / rows.max(1)],
            None => parameter.to_vec(),
        }
    }

    /// The parameter in the shape that the file has.
    pub(super) fn viewed(&self, parameter: TensorData) -> TensorData {
        let shape = self.viewed_shape(&parameter.shape().to_vec());
        reshape(parameter, shape)
    }
}

/// The parameter with these bindings from its values in the shape that the file has: the reverse of [`Binding::viewed`].
pub(super) fn without_rows(bindings: Option<&Vec<Binding>>, values: TensorData) -> TensorData {
    let has_rows = bindings.and_then(|bindings| bindings.first()).is_some_and(|binding| binding.rows.is_some());
    let length = values.num_elements();
    if has_rows { reshape(values, vec![length]) } else { values }
}

/// The same values in another shape of as many elements.
fn reshape(data: TensorData, shape: Vec<usize>) -> TensorData {
    let dtype = data.dtype();
    TensorData::from_bytes(data.into_bytes(), shape, dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(shape: &[usize]) -> TensorData {
        TensorData::new((0..6).map(|i| i as f32).collect::<Vec<_>>(), shape.to_vec())
    }

    #[test]
    fn a_vector_is_a_matrix_in_the_file_or_a_tensor_for_each_of_its_rows() {
        let whole = Binding { rows: Some(2), ..Binding::identity("norm", "norm") };
        assert_eq!(whole.file_shape(&[6]), [2, 3]);
        assert_eq!(whole.viewed(data(&[6])), data(&[2, 3]));
        assert_eq!(without_rows(Some(&vec![whole.clone()]), data(&[2, 3])), data(&[6]));
        let row = Binding { tensor: "norms.{e}".into(), ..whole }.for_expert(1, 2);
        assert_eq!((row.tensor.as_str(), row.file_shape(&[6])), ("norms.1", vec![3]));
    }

    #[test]
    fn other_parameters_keep_their_shape() {
        let plain = Binding::identity("norm", "norm");
        assert_eq!(plain.viewed(data(&[3, 2])), data(&[3, 2]));
        assert_eq!(without_rows(Some(&vec![plain]), data(&[3, 2])), data(&[3, 2]));
    }
}
