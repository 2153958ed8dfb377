//! How the tensors of a file are stored, all together.

use crate::tensors::{Entry, count};
use kiln_kernels::packed::Packing;
use std::{cmp::Reverse, collections::BTreeMap};

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
        ways.sort_by_key(|way| Reverse(way.numbers));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_alike_is_counted_together() {
        let entry = |shape: &[usize], stored: &str| Entry { shape: shape.into(), stored: stored.into() };
        let entries = [("a", entry(&[3], "F32")), ("b", entry(&[2, 64], "Q4_1")), ("c", entry(&[1, 32], "Q4_1"))];
        let stored = Stored::of(&entries.map(|(name, entry)| (name.to_string(), entry)).into());
        let told: Vec<_> = stored.iter().map(|s| (&*s.name, s.tensors, s.numbers, s.bytes(), s.multiplies())).collect();
        assert_eq!(told, [("Q4_1", 2, 160, Some(100), true), ("F32", 1, 3, Some(12), false)]);
    }
}
