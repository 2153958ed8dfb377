//! Between tensors of a model or optimiser and tensors of a file.

use crate::{
    checkpoint::{NamedTensors, RawTensor},
    optimizer::{Optimizer, OptimizerState},
};
use burn::tensor::{DType, Device, ExecutionError, Tensor, TensorData};
use kiln_models::{Model, StateDict, state_dict};
use safetensors::Dtype;

/// A model's weights, by name.
///
/// # Errors
/// If the device fails.
pub async fn model_tensors(model: &Model) -> Result<NamedTensors, ExecutionError> {
    Ok(state_dict(model).await?.into_iter().map(|(name, data)| (name, raw_from_data(&data))).collect())
}

/// The same as values; `None` for a tensor of a type that isn't a float of 32 bits.
pub fn values_from_tensors(tensors: NamedTensors) -> Option<StateDict> {
    let value = |(name, raw): (String, RawTensor)| Some((name, data_from_raw(raw)?));
    tensors.into_iter().map(value).collect()
}

/// Weights that train while the checkpoint's model is their running mean: `weights.<parameter>`.
///
/// # Errors
/// If the device fails.
pub async fn online_tensors(model: &Model) -> Result<NamedTensors, ExecutionError> {
    Ok(model_tensors(model).await?.into_iter().map(|(name, raw)| (ONLINE_PREFIX.to_owned() + &name, raw)).collect())
}

/// Takes those out of a checkpoint's tensors.
pub fn take_online_tensors(tensors: &mut NamedTensors) -> NamedTensors {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(ONLINE_PREFIX)).cloned().collect();
    let take = |name: String| Some((name[ONLINE_PREFIX.len()..].to_owned(), tensors.remove(&name)?));
    names.into_iter().filter_map(take).collect()
}

const ONLINE_PREFIX: &str = "weights.";

/// An optimiser's state: `optimizer.<parameter>.<slot>` and `optimizer.<parameter>.time`.
///
/// # Errors
/// If the device fails.
pub async fn optimizer_tensors(optimiser: &Optimizer) -> Result<NamedTensors, ExecutionError> {
    let mut tensors = NamedTensors::new();
    for (name, kept) in &optimiser.states {
        for (slot, tensor) in kept.slot_names.iter().zip(&kept.slots) {
            tensors.insert(format!("optimizer.{name}.{slot}"), raw_from_data(&tensor.clone().into_data_async().await?));
        }
        let time = RawTensor { dtype: Dtype::I64, shape: vec![1], bytes: kept.step.to_le_bytes().to_vec() };
        tensors.insert(format!("optimizer.{name}.time"), time);
    }
    Ok(tensors)
}

/// Fills an optimiser's state for the parameters of `model`; gives back the name of what is missing or of the wrong
/// type. A parameter without state has not been trained yet.
pub fn load_optimizer_state(
    optimiser: &mut Optimizer,
    model: &Model,
    mut tensors: NamedTensors,
    device: &Device,
) -> Result<(), String> {
    for name in kiln_models::named_parameters(model) {
        let Some(time) = tensors.remove(&format!("optimizer.{}.time", name.path)) else { continue };
        let time: [u8; 8] = time.bytes.try_into().map_err(|_| format!("optimizer.{}.time", name.path))?;
        let slot = |slot: &&str| {
            let key = format!("optimizer.{}.{slot}", name.path);
            let found = tensors.remove(&key).and_then(data_from_raw);
            let long = found.filter(|data| data.num_elements() == name.shape.iter().product::<usize>());
            long.map(|data| Tensor::from_data(data, device)).ok_or(key)
        };
        let names = optimiser.rule.slot_names(&name.path, &name.shape);
        let slots = names.iter().map(slot).collect::<Result<_, _>>()?;
        optimiser.states.insert(name.path, OptimizerState { step: u64::from_le_bytes(time), slot_names: names, slots });
    }
    match tensors.into_keys().find(|key| key.starts_with("optimizer.")) {
        Some(unexpected) => Err(unexpected),
        None => Ok(()),
    }
}

fn raw_from_data(data: &TensorData) -> RawTensor {
    let data = if data.dtype() == DType::F32 { data.clone() } else { data.clone().convert::<f32>() };
    RawTensor { dtype: Dtype::F32, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }
}

fn data_from_raw(raw: RawTensor) -> Option<TensorData> {
    (raw.dtype == Dtype::F32).then(|| TensorData::from_bytes_vec(raw.bytes, raw.shape, DType::F32))
}
