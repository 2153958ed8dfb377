//! Where weights come from: tensors of a file, read one by one.

use burn::tensor::TensorData;
use kiln_kernels::packed::{PackedMatrix, Packing};
use std::collections::BTreeMap;

/// What a file says of one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// How its numbers are stored, in the format's own word: `F32`, `BF16`, `Q4_K`.
    pub stored: String,
}

/// Tensors of a file that are stored alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// How, in the format's own word.
    pub name: String,
    /// How many tensors.
    pub tensors: usize,
    /// How many numbers they have.
    pub numbers: usize,
}

impl Stored {
    /// What a file has of each way, the way with the most numbers first.
    pub fn of(entries: &BTreeMap<String, Entry>) -> Vec<Self> {
        let mut ways = BTreeMap::<&str, Self>::new();
        for Entry { shape, stored } in entries.values() {
            let way = ways.entry(stored).or_insert_with(|| Self { name: stored.clone(), ..Self::default() });
            way.tensors += 1;
            way.numbers += count(shape).unwrap_or_default();
        }
        let mut ways: Vec<Self> = ways.into_values().collect();
        ways.sort_by_key(|way| std::cmp::Reverse(way.numbers));
        ways
    }

    /// Bytes that they take in the file, of the ways that Kiln reads.
    pub fn bytes(&self) -> Option<usize> {
        match self.name.as_str() {
            "F64" => self.numbers.checked_mul(8),
            name => Packing::named(name)?.size(self.numbers),
        }
    }

    /// Whether matrices stored so can be multiplied as they are.
    pub fn multiplies(&self) -> bool {
        Packing::named(&self.name).is_some_and(Packing::multiplies)
    }
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
    use super::{Entry, Stored, count};

    #[test]
    fn any_part_of_a_counted_shape_can_be_counted() {
        assert_eq!([count(&[]), count(&[2, 3]), count(&[2, 0, 3])], [Some(1), Some(6), Some(0)]);
        assert_eq!([count(&[1 << 40, 1 << 40]), count(&[0, 1 << 40, 1 << 40])], [None, None]);
    }
    #[test]
    fn what_is_stored_alike_is_counted_together() {
        let entry = |shape: &[usize], stored: &str| Entry { shape: shape.into(), stored: stored.into() };
        let entries = [("a", entry(&[3], "F32")), ("b", entry(&[2, 64], "Q4_1")), ("c", entry(&[1, 32], "Q4_1"))];
        let stored = Stored::of(&entries.map(|(name, entry)| (name.to_string(), entry)).into());
        let told: Vec<_> = stored.iter().map(|s| (&*s.name, s.tensors, s.numbers, s.bytes(), s.multiplies())).collect();
        assert_eq!(told, [("Q4_1", 2, 160, Some(100), true), ("F32", 1, 3, Some(12), false)]);
    }
}
