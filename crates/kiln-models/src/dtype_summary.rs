//! How the tensors of a file are stored, all together.

use crate::tensors::{TensorInfo, num_elements};
use kiln_kernels::packed::GgmlType;
use std::{cmp::Reverse, collections::BTreeMap};

/// Tensors of a file that are stored alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtypeSummary {
    /// How, in the format's own word.
    pub dtype: String,
    /// How many tensors.
    pub num_tensors: usize,
    /// How many numbers they have.
    pub num_values: usize,
}

impl DtypeSummary {
    /// What a file has of each way, the way with the most numbers first.
    pub fn summarize(entries: &BTreeMap<String, TensorInfo>) -> Vec<Self> {
        let mut ways = BTreeMap::<&str, Self>::new();
        for TensorInfo { shape, dtype: stored } in entries.values() {
            let way = ways.entry(stored).or_insert_with(|| Self { dtype: stored.clone(), ..Self::default() });
            way.num_tensors += 1;
            way.num_values += num_elements(shape).unwrap_or_default();
        }
        let mut ways: Vec<Self> = ways.into_values().collect();
        ways.sort_by_key(|way| Reverse(way.num_values));
        ways
    }

    /// Bytes that they take in the file, of the ways that Kiln reads.
    pub fn num_bytes(&self) -> Option<usize> {
        match self.dtype.as_str() {
            "F64" => self.num_values.checked_mul(8),
            name => GgmlType::from_name(name)?.byte_len(self.num_values),
        }
    }

    /// Whether matrices stored so can be multiplied as they are.
    pub fn can_multiply(&self) -> bool {
        GgmlType::from_name(&self.dtype).is_some_and(GgmlType::has_mat_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_alike_is_counted_together() {
        let entry = |shape: &[usize], stored: &str| TensorInfo { shape: shape.into(), dtype: stored.into() };
        let entries = [("a", entry(&[3], "F32")), ("b", entry(&[2, 64], "Q4_1")), ("c", entry(&[1, 32], "Q4_1"))];
        let stored = DtypeSummary::summarize(&entries.map(|(name, entry)| (name.to_string(), entry)).into());
        let told: Vec<_> =
            stored.iter().map(|s| (&*s.dtype, s.num_tensors, s.num_values, s.num_bytes(), s.can_multiply())).collect();
        assert_eq!(told, [("Q4_1", 2, 160, Some(100), true), ("F32", 1, 3, Some(12), false)]);
    }
}
