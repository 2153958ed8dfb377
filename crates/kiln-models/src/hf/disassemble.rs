//! The tensors of a file from a model's weights, one after the other.

use super::{family::Family, tie::Tie};
use crate::{
    config::ModelConfig,
    names::Mismatch,
    tensors::{Entry, TensorError, Tensors},
};
use burn::tensor::TensorData;
use std::collections::{BTreeMap, BTreeSet};

/// The tensors of a file: their names and shapes are known, their numbers are put together when they are asked for.
pub struct Disassembled<'a> {
    weights: &'a dyn Tensors,
    entries: BTreeMap<String, Entry>,
    /// The parameters that each is made of.
    ties: BTreeMap<String, Vec<Tie>>,
}

/// The tensors of a file in which the family keeps these weights (by Kiln's names, see [`Reader`](crate::Reader)).
///
/// # Errors
/// If a parameter is missing, or has no name in the family: one that an adapter added, say.
pub fn disassemble<'a>(
    config: &ModelConfig,
    family: &Family,
    weights: &'a dyn Tensors,
) -> Result<Disassembled<'a>, Mismatch> {
    let (mut made, mut mismatch) =
        (Disassembled { weights, entries: BTreeMap::new(), ties: BTreeMap::new() }, Mismatch::default());
    let mut written = BTreeSet::new();
    for tie in (family.names)(config) {
        match weights.entries().get(&tie.kiln) {
            // Another name of a parameter that is written.
            Some(_) if !written.insert(tie.kiln.clone()) => {}
            Some(entry) => {
                made.entries.insert(tie.file.clone(), Entry::floats(tie.form.in_file(&entry.shape)));
                made.ties.entry(tie.file.clone()).or_default().push(tie);
            }
            None => mismatch.missing.push(tie.kiln),
        }
    }
    mismatch.unexpected = weights.entries().keys().filter(|name| !written.contains(*name)).cloned().collect();
    if mismatch == Mismatch::default() { Ok(made) } else { Err(mismatch) }
}

impl Tensors for Disassembled<'_> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let mut whole = None;
        for tie in self.ties.get(name).into_iter().flatten() {
            whole = Some(tie.form.put(self.weights.read(&tie.kiln)?, whole));
        }
        whole.ok_or_else(|| TensorError::Unknown(name.into()))
    }
}
