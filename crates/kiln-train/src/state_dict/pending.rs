//! Tensors of a checkpoint that are read from the device when they are written, one after the other.

use super::{ADAPTER_PREFIX, file_name, float_dtype, packed_form, packed_shape, raw_from_data};
use crate::{
    checkpoint::{PendingTensor, PendingTensors},
    optimizer::Optimizer,
};
use kiln_models::{Model, ModelTensors, tensors::TensorSource};
use safetensors::Dtype;

/// [`model_tensors`](super::model_tensors), each read from the model when it is written. Names start with `prefix`.
pub fn pending_model_tensors(model: &Model, prefix: &str) -> PendingTensors {
    let (mut tensors, mut all) = (ModelTensors::new(model), PendingTensors::new());
    let entries = tensors.entries().clone();
    for (name, info) in entries {
        let Some(handle) = tensors.take_handle(&name) else { continue };
        let file_name = prefix.to_owned() + &file_name(&name, &handle, &info);
        let pending = match packed_form(&handle, &info).cloned() {
            Some(packed) => {
                PendingTensor::new(Dtype::U8, packed_shape(&packed), move || Ok(packed.matrix.bytes().to_vec()))
            }
            None => {
                let dtype = float_dtype(&info);
                let read = move || Ok(raw_from_data(handle.value()?, dtype).bytes);
                PendingTensor::new(dtype, info.shape, read)
            }
        };
        all.insert(file_name, pending);
    }
    all
}

/// [`optimizer_tensors`](super::optimizer_tensors), each read from the optimizer when it is written.
pub fn pending_optimizer_tensors(optimizer: &Optimizer) -> PendingTensors {
    let mut tensors = PendingTensors::new();
    for (name, state) in &optimizer.states {
        let slots =
            state.slot_names.iter().copied().zip(&state.slots).chain(state.master.iter().map(|m| ("master", m)));
        for (slot, tensor) in slots {
            let tensor = tensor.clone();
            let shape = tensor.dims().to_vec();
            let read = move || Ok(raw_from_data(tensor.clone().try_into_data()?, Dtype::F32).bytes);
            tensors.insert(format!("optimizer.{name}.{slot}"), PendingTensor::new(Dtype::F32, shape, read));
        }
        let step = state.step.to_le_bytes().to_vec();
        let time = PendingTensor::new(Dtype::I64, vec![1], move || Ok(step.clone()));
        tensors.insert(format!("optimizer.{name}.time"), time);
    }
    for (adapter, state) in &optimizer.adapter_states {
        for (slot, tensor) in state {
            let tensor = tensor.clone();
            let shape = tensor.dims().to_vec();
            let read = move || Ok(raw_from_data(tensor.clone().try_into_data()?, Dtype::F32).bytes);
            tensors.insert(format!("{ADAPTER_PREFIX}{adapter}.{slot}"), PendingTensor::new(Dtype::F32, shape, read));
        }
    }
    tensors
}
