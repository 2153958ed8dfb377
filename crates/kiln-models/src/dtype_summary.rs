//! Summary of a file's tensors by storage type: how many are `F32`, `BF16`, `Q4_K`, and what they take.

use crate::tensors::{TensorInfo, num_elements};
use kiln_kernels::packed::GgmlType;
use std::{cmp::Reverse, collections::BTreeMap};

/// Tensors of a file that are stored with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtypeSummary {
    /// Name of the storage type in the file's format: `BF16`, `Q4_K`.
    pub dtype: String,
    /// Number of tensors.
    pub num_tensors: usize,
    /// Number of elements in all of them. A tensor whose count overflows adds 0.
    pub num_values: usize,
}

impl DtypeSummary {
    /// One summary for each storage type in a file, the type with the most elements first.
    pub fn summarize(entries: &BTreeMap<String, TensorInfo>) -> Vec<Self> {
        let mut by_dtype = BTreeMap::<&str, Self>::new();
        for TensorInfo { shape, dtype } in entries.values() {
            let summary = by_dtype.entry(dtype).or_insert_with(|| Self { dtype: dtype.clone(), ..Self::default() });
            summary.num_tensors += 1;
            summary.num_values += num_elements(shape).unwrap_or_default();
        }
        let mut summaries: Vec<Self> = by_dtype.into_values().collect();
        summaries.sort_by_key(|summary| Reverse(summary.num_values));
        summaries
    }

    /// Size of the tensors in the file, in bytes; `None` for a storage type that Kiln does not read.
    pub fn num_bytes(&self) -> Option<usize> {
        match self.dtype.as_str() {
            "F64" => self.num_values.checked_mul(8),
            name => GgmlType::from_name(name)?.byte_len(self.num_values),
        }
    }

    /// Whether matrices of this type are multiplied in packed form, without conversion to f32.
    pub fn can_multiply(&self) -> bool {
        GgmlType::from_name(&self.dtype).is_some_and(GgmlType::has_mat_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_one_type_are_counted_together() {
        let entry = |shape: &[usize], dtype: &str| TensorInfo { shape: shape.into(), dtype: dtype.into() };
        let entries = [("a", entry(&[3], "F32")), ("b", entry(&[2, 64], "Q4_1")), ("c", entry(&[1, 32], "Q4_1"))];
        let summaries = DtypeSummary::summarize(&entries.map(|(name, entry)| (name.to_string(), entry)).into());
        let [q4, f32] = &summaries[..] else { panic!("two types") };
        assert_eq!((&*q4.dtype, q4.num_tensors, q4.num_values), ("Q4_1", 2, 160));
        assert_eq!((q4.num_bytes(), q4.can_multiply()), (Some(100), true));
        assert_eq!((&*f32.dtype, f32.num_tensors, f32.num_values), ("F32", 1, 3));
        assert_eq!((f32.num_bytes(), f32.can_multiply()), (Some(12), false));
    }
}
