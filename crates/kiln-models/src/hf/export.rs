//! Export: a model's parameters as the tensors of a family's file.
//!
//! Names and shapes of all tensors are computed at once, values when a tensor is read, so that writing a file takes little
//! more memory than the model and one tensor.

use super::{binding::Binding, family::Family};
use crate::{
    config::ModelConfig,
    parameters::WeightMismatch,
    tensors::{TensorError, TensorInfo, TensorSource},
};
use burn::tensor::TensorData;
use std::collections::{BTreeMap, BTreeSet};

/// Tensors of a family's file, whose values are assembled from parameters when they are read.
pub struct ExportedTensors<'a> {
    weights: &'a dyn TensorSource,
    entries: BTreeMap<String, TensorInfo>,
    /// The parameters that each tensor consists of: several for a fused one.
    bindings: BTreeMap<String, Vec<Binding>>,
}

/// The tensors in which a family's file stores these weights. `weights` has Kiln's parameter names, as
/// [`ModelTensors`](crate::ModelTensors) does.
///
/// # Errors
/// If a parameter of the family is missing in `weights`, or `weights` has a parameter without a name in the family, such as
/// that of an adapter (merge it first).
pub fn export_tensors<'a>(
    config: &ModelConfig,
    family: &Family,
    weights: &'a dyn TensorSource,
) -> Result<ExportedTensors<'a>, WeightMismatch> {
    let mut tensors = ExportedTensors { weights, entries: BTreeMap::new(), bindings: BTreeMap::new() };
    let mut mismatch = WeightMismatch::default();
    // The elements of each parameter that are written; of a parameter that is written whole, `None`.
    let mut written = BTreeMap::<String, BTreeSet<Option<(usize, usize)>>>::new();
    for binding in family.bindings(config) {
        match weights.entries().get(&binding.parameter) {
            // An alternative name, or another form, of a parameter that is written already.
            Some(_) if is_written(&written, &binding) => {}
            Some(entry) => {
                let info = TensorInfo::f32(binding.file_shape(&entry.shape));
                written.entry(binding.parameter.clone()).or_default().insert(binding.element);
                tensors.entries.insert(binding.tensor.clone(), info);
                tensors.bindings.entry(binding.tensor.clone()).or_default().push(binding);
            }
            None => mismatch.missing_keys.push(binding.parameter),
        }
    }
    mismatch.unexpected_keys = weights.entries().keys().filter(|name| !written.contains_key(*name)).cloned().collect();
    if mismatch == WeightMismatch::default() { Ok(tensors) } else { Err(mismatch) }
}

/// Whether the element of the binding is written, or the parameter is in another form: as a whole, or element by element.
fn is_written(written: &BTreeMap<String, BTreeSet<Option<(usize, usize)>>>, binding: &Binding) -> bool {
    let Some(elements) = written.get(&binding.parameter) else { return false };
    elements.contains(&binding.element) || elements.iter().any(|element| element.is_some() != binding.element.is_some())
}

impl TensorSource for ExportedTensors<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let mut tensor = None;
        for binding in self.bindings.get(name).into_iter().flatten() {
            let parameter = self.weights.read(&binding.parameter)?;
            tensor = Some(binding.layout.insert(binding.select_element(binding.viewed(parameter)), tensor));
        }
        tensor.ok_or_else(|| TensorError::NotFound(name.into()))
    }
}
