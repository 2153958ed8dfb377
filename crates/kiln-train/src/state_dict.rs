//! State dictionaries: conversion between the tensors of a model or an optimizer and those of a checkpoint file.
//!
//! | tensor in `train.safetensors` | content |
//! |---|---|
//! | `weights.<parameter>` | trained weights, where `model.safetensors` holds their moving average |
//! | `optimizer.<parameter>.<slot>` | optimizer state, such as `mean` and `square` of AdamW |
//! | `optimizer.<parameter>.time` | number of updates, as one 64-bit integer |

use crate::{
    checkpoint::{NamedTensors, RawTensor},
    optimizer::{Optimizer, OptimizerState},
};
use burn::tensor::{DType, Device, ExecutionError, Tensor, TensorData};
use kiln_models::{Model, StateDict, state_dict};
use safetensors::Dtype;

/// Weights of a model by parameter name, as 32-bit floats.
///
/// # Errors
/// If the device fails.
pub async fn model_tensors(model: &Model) -> Result<NamedTensors, ExecutionError> {
    Ok(state_dict(model).await?.into_iter().map(|(name, data)| (name, raw_from_data(&data))).collect())
}

/// Tensors of a file as values for a model.
///
/// # Errors
/// The name of the first tensor that is not of 32-bit floats.
pub fn values_from_tensors(tensors: NamedTensors) -> Result<StateDict, String> {
    let mut values = StateDict::new();
    for (name, raw) in tensors {
        match data_from_raw(raw) {
            Some(data) => values.insert(name, data),
            None => return Err(name),
        };
    }
    Ok(values)
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
const ONLINE_PREFIX: &str = "weights.";

/// State of an optimizer, as `optimizer.<parameter>.<slot>` and `optimizer.<parameter>.time`.
///
/// # Errors
/// If the device fails.
pub async fn optimizer_tensors(optimizer: &Optimizer) -> Result<NamedTensors, ExecutionError> {
    let mut tensors = NamedTensors::new();
    for (name, state) in &optimizer.states {
        for (slot, tensor) in state.slot_names.iter().zip(&state.slots) {
            tensors.insert(format!("optimizer.{name}.{slot}"), raw_from_data(&tensor.clone().into_data_async().await?));
        }
        let time = RawTensor { dtype: Dtype::I64, shape: vec![1], bytes: state.step.to_le_bytes().to_vec() };
        tensors.insert(format!("optimizer.{name}.time"), time);
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
        optimizer.states.insert(name.path, OptimizerState { step: u64::from_le_bytes(time), slot_names, slots });
    }
    match tensors.into_keys().find(|key| key.starts_with("optimizer.")) {
        Some(unexpected) => Err(unexpected),
        None => Ok(()),
    }
}

/// A tensor of a file with the elements of `data` as 32-bit floats.
fn raw_from_data(data: &TensorData) -> RawTensor {
    let data = if data.dtype() == DType::F32 { data.clone() } else { data.clone().convert::<f32>() };
    RawTensor { dtype: Dtype::F32, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }
}

/// The elements of a tensor of a file; none if it is not of 32-bit floats.
fn data_from_raw(raw: RawTensor) -> Option<TensorData> {
    (raw.dtype == Dtype::F32).then(|| TensorData::from_bytes_vec(raw.bytes, raw.shape, DType::F32))
}
