//! Export: a model's parameters as the tensors of a family's file.
//!
//! Names and shapes of all tensors are computed at once, values when a tensor is read, so that writing a file takes little
//! more memory than the model and one tensor.

use super::{binding::Binding, family::Family};
use crate::{
    config::ModelConfig,
    parameters::WeightMismatch,
    precision::converted,
    tensors::{StoredTensor, TensorError, TensorInfo, TensorSource, float_type},
};
use burn::tensor::{DType, TensorData};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// Tensors of a family's file, whose values are assembled from parameters when they are read.
pub struct ExportedTensors<'a> {
    weights: &'a dyn TensorSource,
    entries: BTreeMap<String, TensorInfo>,
    /// The parameters that each tensor consists of: several for a fused one.
    bindings: BTreeMap<String, Vec<Binding>>,
    /// The stacked parameter that was read last, whose elements are tensors.
    last_stack: RefCell<Option<(String, TensorData)>>,
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
    let mut tensors = ExportedTensors {
        weights,
        entries: BTreeMap::new(),
        bindings: BTreeMap::new(),
        last_stack: RefCell::default(),
    };
    let mut mismatch = WeightMismatch::default();
    // The elements of each parameter that are written; of a parameter that is written whole, `None`.
    let mut written = BTreeMap::<String, BTreeSet<Option<(usize, usize)>>>::new();
    for binding in family.bindings(config) {
        match weights.entries().get(&binding.parameter) {
            // An alternative name, or another form, of a parameter that is written already.
            Some(_) if is_written(&written, &binding) => {}
            Some(entry) => {
                let info = file_info(&binding, entry, tensors.entries.get(&binding.tensor));
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

/// Shape and type of a file's tensor that holds this parameter, and others that the tensor is known for. The type is the
/// parameters' own, if all have the same float type.
fn file_info(binding: &Binding, parameter: &TensorInfo, known: Option<&TensorInfo>) -> TensorInfo {
    let shape = binding.file_shape(&parameter.shape);
    let is_moved = float_type(&parameter.dtype).is_some() && binding.layout.map.is_none();
    if is_moved && known.is_none_or(|known| known.dtype == parameter.dtype) {
        TensorInfo { shape, dtype: parameter.dtype.clone() }
    } else {
        TensorInfo::f32(shape)
    }
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
        Ok(converted(self.read_stored(name)?.into_values(), DType::F32))
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        let mut tensor = None;
        for binding in self.bindings.get(name).into_iter().flatten() {
            let part = self.read_part(binding)?;
            tensor = Some(binding.layout.insert(part, tensor));
        }
        tensor.map(StoredTensor::Owned).ok_or_else(|| TensorError::NotFound(name.into()))
    }
}

impl ExportedTensors<'_> {
    /// The parameter of a binding, or the element of it that the binding's tensor holds. A stacked parameter is read once for
    /// neighboring tensors.
    fn read_part(&self, binding: &Binding) -> Result<TensorData, TensorError> {
        let parameter =
            || self.weights.read_stored(&binding.parameter).map(|stored| binding.viewed(stored.into_values()));
        if binding.element.is_none() {
            return parameter();
        }
        let mut stack = self.last_stack.borrow_mut();
        let (_, data) = match stack.take().filter(|(name, _)| *name == binding.parameter) {
            Some(read) => stack.insert(read),
            None => stack.insert((binding.parameter.clone(), parameter()?)),
        };
        Ok(binding.select_element(data))
    }
}
