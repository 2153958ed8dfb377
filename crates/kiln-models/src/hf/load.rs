//! Loading: a model with the weights of a family's file, one tensor after the other.
//!
//! Steps: the family's bindings for the configuration → the file's names (with or without the family's prefix) → comparison
//! of all names and shapes → an empty model → values, parameter by parameter. Memory: the model and the largest tensor.

use super::{
    binding::{Binding, TensorLayout},
    family::Family,
    head_rows::without_rows,
    layout::{ElementMemory, Elements},
    load_packed::packed_weights,
};
use crate::{
    config::ModelConfig,
    model::Model,
    parameters::{NamedParameter, WeightMismatch, map_params, named_parameters},
    precision::{WeightPrecision, convert_values},
    tensors::{TensorError, TensorSource, float_type},
};
use burn::tensor::{Bytes, DType, Device, TensorData};
use std::collections::{BTreeMap, BTreeSet};

/// Error of loading a model from tensors.
#[derive(Debug, thiserror::Error)]
pub enum LoadWeightsError {
    /// Names or shapes of tensors do not match the configuration.
    #[error(transparent)]
    Mismatch(#[from] WeightMismatch),
    /// A tensor can't be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Two tensors for the same parameter have different values.
    #[error(
        "the tensors `{first}` and `{second}` differ, but config.json ties them to one parameter; \
         if the model does not share them, set \"tie_word_embeddings\": false in config.json"
    )]
    TiedWeightsDiffer {
        /// Name of one tensor.
        first: String,
        /// Name of the other tensor.
        second: String,
    },
}

/// Bindings of each parameter whose tensors are in the file. Several are alternatives that must have the same values.
pub(super) type BindingsByParameter = BTreeMap<String, Vec<Binding>>;

/// The model of a configuration with the weights of a file, on a device (an autodiff device for training).
///
/// Names and shapes of all tensors are compared with the parameters before any value is read. On the CPU without autodiff,
/// tensors that are packed in the file (quantized, 16-bit) stay packed in the model; otherwise all weights are held in f32.
///
/// # Errors
/// If a parameter has no tensor, a tensor has another shape, a tensor is left over that the family does not ignore
/// ([`Family::ignored_suffixes`]), tied tensors differ, or the file can't be read.
pub fn load_model(
    config: &ModelConfig,
    family: &Family,
    tensors: &dyn TensorSource,
    device: &Device,
) -> Result<Model, LoadWeightsError> {
    load_model_as(config, family, tensors, device, WeightPrecision::default_on(device))
}

/// [`load_model`] with weights held as `precision` says. With [`WeightPrecision::Keep`] on the CPU, quantized matrices stay
/// packed, on an autodiff device as frozen parameters.
///
/// # Errors
/// As [`load_model`], and if a value can't be represented in the type.
pub fn load_model_as(
    config: &ModelConfig,
    family: &Family,
    tensors: &dyn TensorSource,
    device: &Device,
    precision: WeightPrecision,
) -> Result<Model, LoadWeightsError> {
    let outline = Model::without_weights(config);
    let bindings = match_bindings(&outline, family, tensors)?;
    let packed = packed_weights(&outline, &bindings, tensors, (device, precision))?;
    // Functions of a file's values are not rounded: w + 1 in 16 bits would lose w.
    let is_mapped = |bindings: &Vec<Binding>| bindings.iter().any(|binding| binding.layout.map.is_some());
    let weight_dtype = precision.common_dtype(tensors.entries()).filter(|_| !bindings.values().any(is_mapped));
    let mut model = Model::uninitialized(config, packed, device);
    model.weight_dtype = weight_dtype;
    let (packed, matrices) = (model.packed_weights().clone(), outline.matrices);
    let mut result = Ok(());
    let model = map_params(model, |param| {
        let name = param.name();
        if result.is_err() || packed.contains_key(&name) {
            return;
        }
        let dtype = bindings.get(&name).and_then(|bindings| tensors.entries().get(&bindings.first()?.tensor));
        let held = precision.matrix_dtype(dtype.map_or("F32", |entry| &entry.dtype));
        let held = if matrices.contains_key(&name) { held } else { DType::F32 };
        result = read_parameter(&name, &bindings, tensors).and_then(|data| {
            let data = without_rows(bindings.get(&name), data);
            let rounding = weight_dtype.or(precision.half_dtype()).unwrap_or(held);
            let rounding = Some(rounding).filter(|_| !bindings.get(&name).is_some_and(is_mapped));
            param.initialize(convert_values(&name, data, rounding, held)?, device, held);
            Ok(())
        });
    });
    result.map(|()| model)
}

/// The elements of a tensor that a layout takes, in the tensor's float type. The tensor's memory is released afterward.
fn extract<M: ElementMemory>(
    layout: &TensorLayout,
    tensor: &str,
    tensors: &dyn TensorSource,
) -> Result<Elements<M>, TensorError> {
    let elements = layout.extract_elements(tensors.read_stored(tensor)?);
    tensors.release(tensor);
    Ok(elements)
}

/// The family's bindings with the tensor names of this file: without the family's prefix if no tensor has it. Bindings of
/// tensors that the file lacks are alternatives, or missing.
pub fn file_bindings(config: &ModelConfig, family: &Family, tensors: &dyn TensorSource) -> Vec<Binding> {
    let mut bindings = family.bindings(config);
    if !tensors.entries().keys().any(|name| name.starts_with(family.prefix)) {
        for binding in &mut bindings {
            if let Some(bare) = binding.tensor.strip_prefix(family.prefix) {
                binding.tensor = bare.into();
            }
        }
    }
    bindings
}

/// Matches the model's parameters with the file's tensors by name and shape.
fn match_bindings(
    model: &Model,
    family: &Family,
    tensors: &dyn TensorSource,
) -> Result<BindingsByParameter, WeightMismatch> {
    let mut by_parameter = BindingsByParameter::new();
    for binding in file_bindings(model.config(), family, tensors) {
        by_parameter.entry(binding.parameter.clone()).or_default().push(binding);
    }
    let mut mismatch = WeightMismatch::default();
    let mut known = BTreeSet::new();
    for parameter in named_parameters(model) {
        let bindings = by_parameter.entry(parameter.path.clone()).or_default();
        known.extend(bindings.iter().map(|binding| binding.tensor.clone()));
        match_parameter(&parameter, bindings, (family, tensors), &mut mismatch);
    }
    let left_over = tensors.entries().keys().filter(|name| !known.contains(*name));
    let layers = model.config().num_layers();
    let left_over = left_over.filter(|name| !family.is_ignored(name, layers) && !tensors.is_redundant(name));
    mismatch.unexpected_keys = left_over.cloned().collect();
    sort_and_dedup(&mut mismatch.missing_keys);
    sort_and_dedup(&mut mismatch.mismatched_shapes);
    if mismatch == WeightMismatch::default() { Ok(by_parameter) } else { Err(mismatch) }
}

/// Keeps the bindings of a parameter whose tensors are in the file, and records a missing tensor or a wrong shape.
fn match_parameter(
    parameter: &NamedParameter,
    bindings: &mut Vec<Binding>,
    (family, tensors): (&Family, &dyn TensorSource),
    mismatch: &mut WeightMismatch,
) {
    let is_present = |binding: &Binding| tensors.entries().contains_key(&binding.tensor);
    let missing: Vec<String> = missing_tensors(bindings, is_present);
    if bindings.is_empty() {
        mismatch.missing_keys.push(format!("{} (no tensor of the family {})", parameter.path, family.name));
    }
    mismatch.missing_keys.extend(missing);
    bindings.retain(is_present);
    for binding in bindings {
        let expected = binding.file_shape(&parameter.shape);
        let found = &tensors.entries()[&binding.tensor].shape;
        if *found != expected {
            mismatch.mismatched_shapes.push((binding.tensor.clone(), expected, found.clone()));
        }
    }
}

/// The preferred tensors of a parameter that has none: one tensor, or those of the elements of a stacked parameter that are
/// not in the file.
fn missing_tensors(bindings: &[Binding], is_present: impl Fn(&Binding) -> bool) -> Vec<String> {
    if bindings.iter().any(|binding| binding.element.is_none() && is_present(binding)) {
        return Vec::new();
    }
    let mut elements = BTreeMap::<Option<(usize, usize)>, (bool, &str)>::new();
    for binding in bindings {
        elements.entry(binding.element).or_insert((false, &binding.tensor)).0 |= is_present(binding);
    }
    // A stack of which the file has some elements, or for which the family has no whole tensor, is named element by element.
    let has_elements = elements.iter().any(|(element, (present, _))| element.is_some() && *present);
    let preferred = bindings.first().and_then(|binding| binding.element);
    let missing = elements.into_iter().filter(|(element, (present, _))| {
        let is_asked = if has_elements { element.is_some() } else { element.is_some() == preferred.is_some() };
        !present && is_asked
    });
    missing.map(|(_, (_, tensor))| tensor.to_owned()).collect()
}

/// Several parameters may be slices of one tensor, which is reported once.
fn sort_and_dedup<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}

/// The values of a parameter from its tensors.
fn read_parameter(
    name: &str,
    bindings: &BindingsByParameter,
    tensors: &dyn TensorSource,
) -> Result<TensorData, LoadWeightsError> {
    let bindings = bindings.get(name).map(Vec::as_slice).unwrap_or_default();
    if bindings.is_empty() {
        return Err(TensorError::NotFound(name.to_owned()).into());
    }
    read_elements::<Bytes>(&preferred(bindings), tensors).map(Elements::into_values)
}

/// The bindings of a parameter that are read: those of whole tensors, which precede those of its elements.
pub(super) fn preferred(bindings: &[Binding]) -> Vec<Binding> {
    let whole: Vec<Binding> = bindings.iter().filter(|binding| binding.element.is_none()).cloned().collect();
    if whole.is_empty() { bindings.to_vec() } else { whole }
}

/// The values of a parameter from the tensors of its elements, or from whole tensors, which must have the same values.
pub(super) fn read_elements<M: ElementMemory>(
    bindings: &[Binding],
    tensors: &dyn TensorSource,
) -> Result<Elements<M>, LoadWeightsError> {
    if let Some(count) = stacked_elements(bindings) {
        return read_stack(bindings, count, tensors);
    }
    let (first, others) = (&bindings[0], &bindings[1..]);
    let elements = extract::<M>(&first.layout, &first.tensor, tensors)?;
    for other in others {
        if extract::<M>(&other.layout, &other.tensor, tensors)? != elements {
            return Err(LoadWeightsError::TiedWeightsDiffer {
                first: first.tensor.clone(),
                second: other.tensor.clone(),
            });
        }
    }
    Ok(elements)
}

/// Number of elements of a parameter whose elements have a tensor each; `None` if a tensor has it whole.
fn stacked_elements(bindings: &[Binding]) -> Option<usize> {
    let elements = bindings.iter().map(|binding| binding.element.map(|(_, count)| count));
    elements.collect::<Option<Vec<_>>>()?.first().copied()
}

/// The values of a stacked parameter from the tensors of its `count` elements, each written to its place.
fn read_stack<M: ElementMemory>(
    bindings: &[Binding],
    count: usize,
    tensors: &dyn TensorSource,
) -> Result<Elements<M>, LoadWeightsError> {
    let types: Vec<_> = bindings.iter().map(|binding| stored_type(binding, tensors)).collect();
    let dtype = types.first().copied().filter(|first| types.iter().all(|dtype| dtype == first)).unwrap_or(DType::F32);
    let (mut bytes, mut shape) = (M::zeroed(0, dtype.size()), vec![count]);
    for index in 0..count {
        let binding = bindings.iter().find(|binding| binding.element == Some((index, count)));
        let binding = binding.ok_or_else(|| TensorError::NotFound(format!("element {index}")))?;
        let stored = tensors.read_stored(&binding.tensor)?;
        if index == 0 {
            let element = binding.layout.part_shape(stored.shape());
            bytes = M::zeroed(count * element.iter().product::<usize>(), dtype.size());
            shape.extend(element);
        }
        let size = bytes.len() / count;
        let out = &mut bytes[index * size..(index + 1) * size];
        if stored.dtype() == dtype && binding.layout.map.is_none() {
            binding.layout.extract_to(&stored, out);
        } else {
            let element = binding.layout.extract_stored(stored).convert_dtype(dtype);
            out.copy_from_slice(element.as_bytes());
        }
        tensors.release(&binding.tensor);
    }
    Ok(Elements { bytes, shape, dtype })
}

/// The float type in which the values of a binding's tensor are read.
fn stored_type(binding: &Binding, tensors: &dyn TensorSource) -> DType {
    let float = || float_type(&tensors.entries().get(&binding.tensor)?.dtype);
    if binding.layout.map.is_some() { DType::F32 } else { float().unwrap_or(DType::F32) }
}
