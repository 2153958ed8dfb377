//! The tensors of a file from a model's weights, one after the other.

use super::{binding::Binding, family::Family};
use crate::{
    config::ModelConfig,
    parameters::WeightMismatch,
    tensors::{TensorError, TensorInfo, TensorSource},
};
use burn::tensor::TensorData;
use std::collections::{BTreeMap, BTreeSet};

/// The tensors of a file: their names and shapes are known, their numbers are put together when they are asked for.
pub struct ExportedTensors<'a> {
    weights: &'a dyn TensorSource,
    entries: BTreeMap<String, TensorInfo>,
    /// The parameters that each is made of.
    bindings: BTreeMap<String, Vec<Binding>>,
}

/// The tensors of a file in which the family keeps these weights (by Kiln's names, see [`Reader`](crate::Reader)).
///
/// # Errors
/// If a parameter is missing, or has no name in the family: one that an adapter added, say.
pub fn export_tensors<'a>(
    config: &ModelConfig,
    family: &Family,
    weights: &'a dyn TensorSource,
) -> Result<ExportedTensors<'a>, WeightMismatch> {
    let (mut made, mut mismatch) =
        (ExportedTensors { weights, entries: BTreeMap::new(), bindings: BTreeMap::new() }, WeightMismatch::default());
    let mut written = BTreeSet::new();
    for tie in (family.bindings)(config) {
        match weights.entries().get(&tie.parameter) {
            // Another name of a parameter that is written.
            Some(_) if !written.insert(tie.parameter.clone()) => {}
            Some(entry) => {
                made.entries.insert(tie.tensor.clone(), TensorInfo::f32(tie.layout.file_shape(&entry.shape)));
                made.bindings.entry(tie.tensor.clone()).or_default().push(tie);
            }
            None => mismatch.missing_keys.push(tie.parameter),
        }
    }
    mismatch.unexpected_keys = weights.entries().keys().filter(|name| !written.contains(*name)).cloned().collect();
    if mismatch == WeightMismatch::default() { Ok(made) } else { Err(mismatch) }
}

impl TensorSource for ExportedTensors<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let mut whole = None;
        for tie in self.bindings.get(name).into_iter().flatten() {
            whole = Some(tie.layout.insert(self.weights.read(&tie.parameter)?, whole));
        }
        whole.ok_or_else(|| TensorError::NotFound(name.into()))
    }
}
