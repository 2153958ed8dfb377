//! Between tensors of a model or optimiser and tensors of a file.

use crate::{
    checkpoint::{Raw, Tensors},
    optimiser::{Kept, Optimiser},
};
use burn::tensor::{DType, Device, ExecutionError, Tensor, TensorData};
use kiln_models::{Model, Values, values};
use safetensors::Dtype;

/// A model's weights, by name.
///
/// # Errors
/// If the device fails.
pub async fn to_tensors(model: &Model) -> Result<Tensors, ExecutionError> {
    Ok(values(model).await?.into_iter().map(|(name, data)| (name, raw(&data))).collect())
}

/// The same as values; `None` for a tensor of a type that isn't a float of 32 bits.
pub fn to_values(tensors: Tensors) -> Option<Values> {
    let value = |(name, raw): (String, Raw)| Some((name, data(raw)?));
    tensors.into_iter().map(value).collect()
}

/// Weights that train while the checkpoint's model is their running mean: `weights.<parameter>`.
///
/// # Errors
/// If the device fails.
pub async fn trained_tensors(model: &Model) -> Result<Tensors, ExecutionError> {
    Ok(to_tensors(model).await?.into_iter().map(|(name, raw)| (TRAINED.to_owned() + &name, raw)).collect())
}

/// Takes those out of a checkpoint's tensors.
pub fn take_trained(tensors: &mut Tensors) -> Tensors {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(TRAINED)).cloned().collect();
    let take = |name: String| Some((name[TRAINED.len()..].to_owned(), tensors.remove(&name)?));
    names.into_iter().filter_map(take).collect()
}

const TRAINED: &str = "weights.";

/// An optimiser's state: `optimizer.<parameter>.<slot>` and `optimizer.<parameter>.time`.
///
/// # Errors
/// If the device fails.
pub async fn optimiser_tensors(optimiser: &Optimiser) -> Result<Tensors, ExecutionError> {
    let mut tensors = Tensors::new();
    for (name, kept) in &optimiser.kept {
        for (slot, tensor) in kept.names.iter().zip(&kept.slots) {
            tensors.insert(format!("optimizer.{name}.{slot}"), raw(&tensor.clone().into_data_async().await?));
        }
        let time = Raw { dtype: Dtype::I64, shape: vec![1], bytes: kept.time.to_le_bytes().to_vec() };
        tensors.insert(format!("optimizer.{name}.time"), time);
    }
    Ok(tensors)
}

/// Fills an optimiser's state for the parameters of `model`; gives back the name of what is missing or of the wrong
/// type. A parameter without state has not been trained yet.
pub fn fill_optimiser(
    optimiser: &mut Optimiser,
    model: &Model,
    mut tensors: Tensors,
    device: &Device,
) -> Result<(), String> {
    for name in kiln_models::names(model) {
        let Some(time) = tensors.remove(&format!("optimizer.{}.time", name.path)) else { continue };
        let time: [u8; 8] = time.bytes.try_into().map_err(|_| format!("optimizer.{}.time", name.path))?;
        let slot = |slot: &&str| {
            let key = format!("optimizer.{}.{slot}", name.path);
            let found = tensors.remove(&key).and_then(data);
            let long = found.filter(|data| data.num_elements() == name.shape.iter().product::<usize>());
            long.map(|data| Tensor::from_data(data, device)).ok_or(key)
        };
        let names = optimiser.rule.slots(&name.path, &name.shape);
        let slots = names.iter().map(slot).collect::<Result<_, _>>()?;
        optimiser.kept.insert(name.path, Kept { time: u64::from_le_bytes(time), names, slots });
    }
    match tensors.into_keys().find(|key| key.starts_with("optimizer.")) {
        Some(unexpected) => Err(unexpected),
        None => Ok(()),
    }
}

fn raw(data: &TensorData) -> Raw {
    let data = if data.dtype() == DType::F32 { data.clone() } else { data.clone().convert::<f32>() };
    Raw { dtype: Dtype::F32, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }
}

fn data(raw: Raw) -> Option<TensorData> {
    (raw.dtype == Dtype::F32).then(|| TensorData::from_bytes_vec(raw.bytes, raw.shape, DType::F32))
}
