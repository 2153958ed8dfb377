//! Loading values by name into a model, and the report of names and shapes that do not match.

use super::{StateDict, map_params, named_parameters};
use crate::{
    adapters::{handles_by_name, share_by_name},
    config::ModelConfig,
    model::Model,
    precision::{WeightPrecision, half_type},
};
use burn::tensor::{DType, Device, TensorData};
use kiln_kernels::{
    cpu::rows::{copied_bytes, transposed},
    packed::{PackedMatrix, is_half},
};
use kiln_nn::{Initializer, packed_weight::PackedWeight};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Differences between the tensors of a file and the parameters of a model, in names and shapes.
///
/// Values are not compared. Displayed as a diff, one line a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.diff())]
pub struct WeightMismatch {
    /// Parameters without a tensor.
    pub missing_keys: Vec<String>,
    /// Tensors without a parameter.
    pub unexpected_keys: Vec<String>,
    /// Tensors of another shape than their parameter: name, expected, found.
    pub mismatched_shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl WeightMismatch {
    fn is_empty(&self) -> bool {
        self.missing_keys.is_empty() && self.unexpected_keys.is_empty() && self.mismatched_shapes.is_empty()
    }

    /// The differences, one per line: `- name` missing, `+ name` unexpected, `~ name: expected [2, 3], found [3, 2]`.
    pub fn diff(&self) -> String {
        let missing = self.missing_keys.iter().map(|name| format!("- {name}"));
        let unexpected = self.unexpected_keys.iter().map(|name| format!("+ {name}"));
        let shapes = self.mismatched_shapes.iter();
        let shapes = shapes.map(|(name, expected, found)| format!("~ {name}: expected {expected:?}, found {found:?}"));
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        format!("the tensors do not match the model (- missing, + unexpected, ~ wrong shape):\n{}", lines.join("\n"))
    }
}

/// The model with these values in place of its own; parameters keep their ids and dtypes.
///
/// # Errors
/// All differences, if a parameter has no value, a value has another shape, or a name is not a parameter's.
pub fn load_state_dict(model: Model, values: StateDict) -> Result<Model, WeightMismatch> {
    compare(&model, values.iter().map(|(name, data)| (name.clone(), data.shape().to_vec())).collect())?;
    Ok(model.load_partial_state_dict(values))
}

/// Compares the parameters of a model with names and shapes.
fn compare(model: &Model, shapes: HashMap<String, Vec<usize>>) -> Result<(), WeightMismatch> {
    let mut mismatch = WeightMismatch::default();
    let mut known = HashSet::new();
    for parameter in named_parameters(model) {
        known.insert(parameter.path.clone());
        match shapes.get(&parameter.path) {
            None => mismatch.missing_keys.push(parameter.path),
            Some(shape) if *shape != parameter.shape => {
                mismatch.mismatched_shapes.push((parameter.path, parameter.shape, shape.clone()));
            }
            Some(_) => {}
        }
    }
    mismatch.unexpected_keys = shapes.into_keys().filter(|name| !known.contains(name)).collect();
    mismatch.unexpected_keys.sort();
    if mismatch.is_empty() { Ok(()) } else { Err(mismatch) }
}

/// Weights by parameter name, in the types in which a model holds them.
#[derive(Debug, Default)]
pub struct HeldWeights {
    /// Values of 32-bit or 16-bit floats.
    pub values: StateDict,
    /// Packed matrices.
    pub packed: BTreeMap<String, PackedWeight>,
}

impl HeldWeights {
    /// The 16-bit type of all weights other than those of adapters; `None` if some have another type.
    fn common_dtype(&self, model: &Model) -> Option<DType> {
        let weights = self.values.iter().filter(|(name, _)| !model.is_adapter_parameter(name));
        let mut types = weights.map(|(_, data)| data.dtype());
        let first = types.next().filter(|dtype| is_half(*dtype) && self.packed.is_empty())?;
        types.all(|dtype| dtype == first).then_some(first)
    }

    /// The weights as `precision` says: with [`WeightPrecision::Keep`] unchanged.
    fn convert(&mut self, precision: WeightPrecision, model: &Model) {
        if precision == WeightPrecision::Keep {
            return;
        }
        let dtype = precision.half_dtype().unwrap_or(DType::F32);
        for (name, packed) in std::mem::take(&mut self.packed) {
            self.values.insert(name, packed.values().convert_dtype(dtype));
        }
        for (_, data) in self.values.iter_mut().filter(|(name, _)| !model.is_adapter_parameter(name)) {
            if data.dtype() != dtype {
                *data = data.clone().convert_dtype(dtype);
            }
        }
    }

    /// Packs the matrices of 16-bit floats and their stacks, as inference on the CPU holds them.
    fn pack_half_matrices(&mut self, model: &Model) {
        let stacks = model.stacks.iter().map(|name| (name, &true));
        for (name, by_columns) in model.matrices.iter().chain(stacks) {
            if let Some(packed) = self.values.get(name).and_then(|data| pack_half(data, *by_columns)) {
                self.values.remove(name);
                self.packed.insert(name.clone(), packed);
            }
        }
    }
}

/// The packed form of a matrix or stack of 16-bit floats, packed by columns or rows; `None` for other types.
fn pack_half(data: &TensorData, by_columns: bool) -> Option<PackedWeight> {
    let (half, shape) = (half_type(data.dtype())?, data.shape().to_vec());
    let (stack, [height, width]) = match shape[..] {
        [height, width] => (None, [height, width]),
        [count, height, width] => (Some(count), [height, width]),
        _ => return None,
    };
    let (bytes, [rows, columns]) = match by_columns {
        true => (transposed(data.as_bytes(), 2, [height, width]), [width, height]),
        false => (copied_bytes(data.as_bytes()), [height, width]),
    };
    let matrix = PackedMatrix::new(half, [stack.unwrap_or(1) * rows, columns], bytes.into())?;
    Some(PackedWeight { matrix, transposed: by_columns, stack })
}

/// The model with these weights in place of its own, held in their types or as `precision` says. Parameters keep their ids,
/// except those that are packed.
///
/// On the CPU without autodiff, matrices of 16-bit floats are packed. `model` may be without values.
///
/// # Errors
/// As [`load_state_dict`].
pub fn load_held_weights(
    model: &Model,
    mut weights: HeldWeights,
    precision: WeightPrecision,
) -> Result<Model, WeightMismatch> {
    let packed_shapes = weights.packed.iter().map(|(name, packed)| (name.clone(), packed.parameter_shape()));
    let shapes = weights.values.iter().map(|(name, data)| (name.clone(), data.shape().to_vec()));
    compare(model, shapes.chain(packed_shapes).collect())?;
    weights.convert(precision, model);
    let weight_dtype = weights.common_dtype(model);
    let device = model.device();
    if device == Device::flex() && !device.is_autodiff() {
        weights.pack_half_matrices(model);
    }
    let mut empty = model.rebuild(model.config(), weights.packed);
    empty.weight_dtype = weight_dtype;
    let mut ids = handles_by_name(model);
    Ok(map_params(empty, |param| {
        let Some(data) = weights.values.remove(&param.name()) else { return };
        share_by_name(param, &mut ids);
        let is_matrix = model.matrices.contains_key(&param.name());
        let dtype = if is_matrix { data.dtype() } else { DType::F32 };
        let data = if data.dtype() == dtype { data } else { data.convert_dtype(dtype) };
        param.initialize(data, &device, dtype);
    }))
}

impl Model {
    /// The model with another configuration that has the same parameters, which are shared.
    ///
    /// # Errors
    /// If the names or shapes of the parameters differ.
    pub fn with_config(&self, config: &ModelConfig) -> Result<Self, WeightMismatch> {
        let empty = self.rebuild(config, self.packed.clone());
        let shapes = named_parameters(self).into_iter().map(|parameter| (parameter.path, parameter.shape));
        compare(&empty, shapes.collect())?;
        let mut shared = handles_by_name(self);
        Ok(map_params(empty, |param| share_by_name(param, &mut shared)))
    }

    /// A model without values, with the adapters of this one and these packed weights.
    fn rebuild(&self, config: &ModelConfig, packed: BTreeMap<String, PackedWeight>) -> Self {
        let device = self.device();
        let mut init = Initializer::uninitialized(&device)
            .with_packed(packed)
            .with_adapters(self.adapters.clone(), Initializer::uninitialized(&device));
        let mut model = Self::build(config, &mut init);
        model.weight_dtype = self.weight_dtype;
        model
    }

    /// The model with these values; parameters that have no value in `values` keep theirs. Names that the model lacks are
    /// ignored. On an autodiff device the parameters that get a value are trainable.
    pub fn load_partial_state_dict(self, mut values: StateDict) -> Self {
        map_params(self, |param| {
            if let Some(data) = values.remove(&param.name()) {
                param.set_value(data, None);
            }
        })
    }
}
