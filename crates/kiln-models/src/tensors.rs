//! Where weights come from: tensors of a file, read one by one.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use std::collections::BTreeMap;

/// What a file says of one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// How its numbers are stored, in the format's own word: `F32`, `BF16`, `Q4_K`.
    pub stored: String,
}

/// Why a tensor can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// No tensor has this name.
    #[error("no tensor `{0}` in the file")]
    Unknown(String),
    /// The file contradicts itself, or holds what Kiln doesn't read.
    #[error("tensor `{name}`: {reason}")]
    Broken {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How many numbers a tensor of this shape has; `None` if its sizes other than 0 can't be multiplied, so that of a counted
/// shape any part can be counted, in any order.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter().filter(|size| **size != 0);
    let most = sizes.try_fold(1usize, |count, size| count.checked_mul(*size))?;
    Some(if shape.contains(&0) { 0 } else { most })
}

/// Tensors of a file or of several. Names and shapes are known and checked against the file's size when it is opened;
/// numbers are read when they are asked for, so that loading takes little more memory than the model.
pub trait Tensors {
    /// All of them, by name.
    fn entries(&self) -> &BTreeMap<String, Entry>;

    /// The numbers of one as f32, whatever they are stored as (quantised ones dequantised).
    ///
    /// # Errors
    /// If there is none of this name, or the file is broken there.
    fn read(&self, name: &str) -> Result<TensorData, TensorError>;

    /// One as it is packed, if it is a matrix that can be multiplied so.
    fn packed(&self, _name: &str) -> Option<PackedMatrix> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn any_part_of_a_counted_shape_can_be_counted() {
        assert_eq!([count(&[]), count(&[2, 3]), count(&[2, 0, 3])], [Some(1), Some(6), Some(0)]);
        assert_eq!([count(&[1 << 40, 1 << 40]), count(&[0, 1 << 40, 1 << 40])], [None, None]);
    }
}
