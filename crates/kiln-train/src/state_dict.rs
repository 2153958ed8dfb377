//! State dictionaries: conversion between the tensors of a model or an optimizer and those of a checkpoint file.
//!
//! | tensor in `model.safetensors` | content |
//! |---|---|
//! | `<parameter>` | weight in the type that holds it without loss: F32, BF16 or F16 |
//! | `packed.<type>.<parameter>` | rows of a quantized matrix as bytes, U8 `[rows, bytes per row]`; type as in GGUF: `Q4_1` |
//! | `packed_columns.<type>.<parameter>` | the same for a matrix that is packed by its columns, as linear layers are |
//!
//! Packed rows of the experts of a mixture are U8 `[experts, rows, bytes per row]`.
//!
//! | tensor in `train.safetensors` | content |
//! |---|---|
//! | `weights.<parameter>` | trained weights, where `model.safetensors` holds their moving average |
//! | `optimizer.<parameter>.<slot>` | optimizer state, such as `mean` and `square` of AdamW |
//! | `optimizer.<parameter>.master` | master weight in f32 of a weight of 16-bit floats |
//! | `optimizer.<parameter>.time` | number of updates, as one 64-bit integer |
//! | `adapter.<adapter>.<name>` | what the method of an adapter remembers from step to step |

#[cfg(feature = "files")]
mod pending;

#[cfg(feature = "files")]
pub use pending::{pending_model_tensors, pending_optimizer_tensors};

use crate::{
    checkpoint::{NamedTensors, RawTensor},
    optimizer::{Optimizer, OptimizerState},
};
use burn::tensor::{DType, Device, ExecutionError, Tensor, TensorData};
use kiln_kernels::packed::{GgmlType, PackedMatrix};
use kiln_models::{
    HeldWeights, Model, ModelTensors,
    parameters::ParamHandle,
    tensors::{TensorInfo, TensorSource},
};
use kiln_nn::packed_weight::PackedWeight;
use safetensors::Dtype;

/// Weights of a model by parameter name, each in the type that holds it without loss.
///
/// # Errors
/// If the device fails.
pub async fn model_tensors(model: &Model) -> Result<NamedTensors, ExecutionError> {
    let (tensors, mut all) = (ModelTensors::new(model), NamedTensors::new());
    for (name, info) in tensors.entries() {
        let Some(handle) = tensors.handle(name) else { continue };
        let raw = match packed_form(handle, info) {
            Some(packed) => raw_from_packed(packed),
            None => raw_from_data(handle.value_async().await?, float_dtype(info)),
        };
        all.insert(file_name(name, handle, info), raw);
    }
    Ok(all)
}

/// The packed form of a quantized parameter; `None` for one that is stored as floats.
fn packed_form<'a>(handle: &'a ParamHandle, info: &TensorInfo) -> Option<&'a PackedWeight> {
    handle.packed().filter(|_| !matches!(&*info.dtype, "F32" | "F16" | "BF16"))
}

/// The type of a parameter that is stored as floats.
fn float_dtype(info: &TensorInfo) -> Dtype {
    match &*info.dtype {
        "BF16" => Dtype::BF16,
        "F16" => Dtype::F16,
        _ => Dtype::F32,
    }
}

/// The name of a parameter in `model.safetensors`.
fn file_name(name: &str, handle: &ParamHandle, info: &TensorInfo) -> String {
    match packed_form(handle, info) {
        Some(packed) => {
            format!("{}{}.{name}", if packed.transposed { COLUMNS_PREFIX } else { ROWS_PREFIX }, info.dtype)
        }
        None => name.to_owned(),
    }
}

/// Prefixes of packed tensors.
const ROWS_PREFIX: &str = "packed.";
const COLUMNS_PREFIX: &str = "packed_columns.";

/// The shape of packed rows as bytes: `[rows, bytes per row]`, and before it the number of matrices of a stack.
fn packed_shape(packed: &PackedWeight) -> Vec<usize> {
    let rows = packed.matrix.shape()[0];
    let row_bytes = packed.matrix.byte_len() / rows.max(1);
    let matrices = packed.stack.unwrap_or(1).max(1);
    packed.stack.into_iter().chain([rows / matrices, row_bytes]).collect()
}

fn raw_from_packed(packed: &PackedWeight) -> RawTensor {
    RawTensor { dtype: Dtype::U8, shape: packed_shape(packed), bytes: packed.matrix.bytes().to_vec() }
}

/// The packed weight of a tensor called `name` in a file, with the name of its parameter; `None` if the tensor isn't one.
fn packed_from_raw(name: &str, raw: &RawTensor) -> Option<(String, PackedWeight)> {
    let (rest, transposed) = match name.strip_prefix(COLUMNS_PREFIX) {
        Some(rest) => (rest, true),
        None => (name.strip_prefix(ROWS_PREFIX)?, false),
    };
    let (ggml_type, parameter) = rest.split_once('.')?;
    let ggml_type = GgmlType::from_name(ggml_type)?;
    let (stack, [rows, row_bytes]) = match raw.shape[..] {
        [rows, row_bytes] => (None, [rows, row_bytes]),
        [count, rows, row_bytes] => (Some(count), [count.checked_mul(rows)?, row_bytes]),
        _ => return None,
    };
    let columns = (row_bytes / ggml_type.block_bytes).checked_mul(ggml_type.block_size)?;
    let matrix = PackedMatrix::new(ggml_type, [rows, columns], raw.bytes.clone().into())?;
    (raw.dtype == Dtype::U8).then(|| (parameter.to_owned(), PackedWeight { matrix, transposed, stack }))
}

/// Tensors of a file as weights for a model.
///
/// # Errors
/// The name of the first tensor that is neither of floats of 32 or 16 bits nor packed.
pub fn values_from_tensors(tensors: NamedTensors) -> Result<HeldWeights, String> {
    let mut weights = HeldWeights::default();
    for (name, raw) in tensors {
        if let Some((parameter, packed)) = packed_from_raw(&name, &raw) {
            weights.packed.insert(parameter, packed);
            continue;
        }
        let dtype = match raw.dtype {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            _ => return Err(name),
        };
        weights.values.insert(name, TensorData::from_bytes_vec(raw.bytes, raw.shape, dtype));
    }
    Ok(weights)
}

/// Trained weights of a stage with an EMA, as `weights.<parameter>`.
///
/// # Errors
/// If the device fails.
pub async fn online_tensors(model: &Model) -> Result<NamedTensors, ExecutionError> {
    Ok(model_tensors(model).await?.into_iter().map(|(name, raw)| (ONLINE_PREFIX.to_owned() + &name, raw)).collect())
}

/// Removes the trained weights of a stage with an EMA from a checkpoint's tensors, and returns them by parameter name.
pub fn take_online_tensors(tensors: &mut NamedTensors) -> NamedTensors {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(ONLINE_PREFIX)).cloned().collect();
    let taken = names.into_iter().filter_map(|name| {
        let parameter = name.strip_prefix(ONLINE_PREFIX)?.to_owned();
        Some((parameter, tensors.remove(&name)?))
    });
    taken.collect()
}

/// Prefix of the trained weights in `train.safetensors`.
pub(crate) const ONLINE_PREFIX: &str = "weights.";

/// Prefix of the state of adapters in `train.safetensors`.
const ADAPTER_PREFIX: &str = "adapter.";

/// State of an optimizer, as `optimizer.<parameter>.<slot>` and `optimizer.<parameter>.time`, and of adapters, as
/// `adapter.<adapter>.<name>`.
///
/// # Errors
/// If the device fails.
pub async fn optimizer_tensors(optimizer: &Optimizer) -> Result<NamedTensors, ExecutionError> {
    let mut tensors = NamedTensors::new();
    for (name, state) in &optimizer.states {
        for (slot, tensor) in state.slot_names.iter().zip(&state.slots) {
            let data = tensor.clone().into_data_async().await?;
            tensors.insert(format!("optimizer.{name}.{slot}"), raw_from_data(data, Dtype::F32));
        }
        if let Some(master) = &state.master {
            let data = master.clone().into_data_async().await?;
            tensors.insert(format!("optimizer.{name}.master"), raw_from_data(data, Dtype::F32));
        }
        let time = RawTensor { dtype: Dtype::I64, shape: vec![1], bytes: state.step.to_le_bytes().to_vec() };
        tensors.insert(format!("optimizer.{name}.time"), time);
    }
    for (adapter, state) in &optimizer.adapter_states {
        for (slot, tensor) in state {
            let data = tensor.clone().into_data_async().await?;
            tensors.insert(format!("{ADAPTER_PREFIX}{adapter}.{slot}"), raw_from_data(data, Dtype::F32));
        }
    }
    Ok(tensors)
}

/// Reads the state of an optimizer for the parameters of `model` from `tensors`. A parameter without state has not been
/// updated yet.
///
/// # Errors
/// The name of a tensor that is missing, has the wrong type or size, or belongs to no parameter.
pub fn load_optimizer_state(
    optimizer: &mut Optimizer,
    model: &Model,
    mut tensors: NamedTensors,
    device: &Device,
) -> Result<(), String> {
    for name in kiln_models::named_parameters(model) {
        let Some(time) = tensors.remove(&format!("optimizer.{}.time", name.path)) else { continue };
        let time: [u8; 8] = time.bytes.try_into().map_err(|_| format!("optimizer.{}.time", name.path))?;
        let slot_names = optimizer.rule.slot_names(&name.path, &name.shape);
        let num_elements: usize = name.shape.iter().product();
        let mut slots = Vec::with_capacity(slot_names.len());
        for slot in slot_names {
            let key = format!("optimizer.{}.{slot}", name.path);
            let data = tensors.remove(&key).and_then(data_from_raw).filter(|data| data.num_elements() == num_elements);
            slots.push(Tensor::from_data(data.ok_or(key)?, device));
        }
        let key = format!("optimizer.{}.master", name.path);
        let master = match tensors.remove(&key) {
            Some(raw) => Some(data_from_raw(raw).filter(|data| data.num_elements() == num_elements).ok_or(key)?),
            None => None,
        };
        let master = master.map(|data| Tensor::from_data(data, device));
        let state = OptimizerState { step: u64::from_le_bytes(time), slot_names, slots, master };
        optimizer.states.insert(name.path, state);
    }
    load_adapter_states(optimizer, model, &mut tensors, device)?;
    match tensors.into_keys().find(|key| key.starts_with("optimizer.")) {
        Some(unexpected) => Err(unexpected),
        None => Ok(()),
    }
}

/// Takes the state of adapters out of `tensors`.
///
/// # Errors
/// The name of a tensor that has the wrong type or belongs to no adapter.
fn load_adapter_states(
    optimizer: &mut Optimizer,
    model: &Model,
    tensors: &mut NamedTensors,
    device: &Device,
) -> Result<(), String> {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(ADAPTER_PREFIX)).cloned().collect();
    for name in names {
        let Some((adapter, slot)) = name[ADAPTER_PREFIX.len()..].rsplit_once('.') else { return Err(name) };
        let is_adapter = model.adapters().iter().any(|(site, adapters)| {
            adapters.iter().any(|own| own.spec.acts_after_step() && format!("{site}.{}", own.path()) == adapter)
        });
        let data = tensors.remove(&name).filter(|_| is_adapter).and_then(data_from_raw);
        let tensor = Tensor::from_data(data.ok_or_else(|| name.clone())?, device);
        optimizer.adapter_states.entry(adapter.into()).or_default().insert(slot.into(), tensor);
    }
    Ok(())
}

/// A tensor of a file with the elements of `data` as floats of this type.
fn raw_from_data(data: TensorData, dtype: Dtype) -> RawTensor {
    let wanted = match dtype {
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        _ => DType::F32,
    };
    let data = if data.dtype() == wanted { data } else { data.convert_dtype(wanted) };
    RawTensor { dtype, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }
}

/// The elements of a tensor of a file; none if it is not of 32-bit floats.
fn data_from_raw(raw: RawTensor) -> Option<TensorData> {
    (raw.dtype == Dtype::F32).then(|| TensorData::from_bytes_vec(raw.bytes, raw.shape, DType::F32))
}
