//! A model's parameters as tensors, read from the device one by one.

use super::{ParamHandle, ParamView, StateDict, for_each_param};
use crate::{
    model::Model,
    precision::converted,
    tensors::{StoredTensor, TensorError, TensorInfo, TensorSource, float_type},
};
use burn::tensor::{DType, ExecutionError, TensorData};
use kiln_kernels::packed::is_half;
use std::collections::BTreeMap;

/// Parameters of a model as a [`TensorSource`].
///
/// They are shared with the model: nothing is copied before it is read, and a packed weight stays packed.
/// [`read`](TensorSource::read) waits for the device; where the thread must not wait, in a browser, [`state_dict`] reads
/// all values.
pub struct ModelTensors {
    entries: BTreeMap<String, TensorInfo>,
    parameters: BTreeMap<String, ParamHandle>,
}

impl ModelTensors {
    /// The parameters of this model.
    pub fn new(model: &Model) -> Self {
        let mut tensors = Self { entries: BTreeMap::new(), parameters: BTreeMap::new() };
        for_each_param(model, |param| {
            let dtype = stored_dtype(model, param);
            tensors.entries.insert(param.name(), TensorInfo { shape: param.shape(), dtype: dtype.into() });
            tensors.parameters.insert(param.name(), param.handle());
        });
        tensors
    }

    /// The same without a parameter, which is stored elsewhere.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.entries.remove(name);
        self.parameters.remove(name);
        self
    }
}

/// The type that stores a parameter without loss, as files call it: `F32`, `BF16`, `Q4_K`.
fn stored_dtype(model: &Model, param: &ParamView) -> &'static str {
    let is_adapter = || model.is_adapter_parameter(&param.name());
    match (param.packed(), param.dtype()) {
        (Some(packed), _) => packed.matrix.ggml_type().name,
        (None, dtype) => match dtype.filter(|dtype| is_half(*dtype)).or(model.weight_dtype.filter(|_| !is_adapter())) {
            Some(DType::BF16) => "BF16",
            Some(DType::F16) => "F16",
            _ => "F32",
        },
    }
}

impl ModelTensors {
    /// The parameter of a name, shared with the model.
    pub fn handle(&self, name: &str) -> Option<&ParamHandle> {
        self.parameters.get(name)
    }

    /// Takes the parameter of a name out of the source, which can't read it afterward.
    pub fn take_handle(&mut self, name: &str) -> Option<ParamHandle> {
        self.parameters.remove(name)
    }
}

impl TensorSource for ModelTensors {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        Ok(converted(self.read_stored(name)?.into_values(), DType::F32))
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        let not_found = || TensorError::NotFound(name.into());
        let (parameter, info) = self.parameters.get(name).zip(self.entries.get(name)).ok_or_else(not_found)?;
        let broken = |error: ExecutionError| TensorError::Broken { name: name.into(), reason: error.to_string() };
        let held = parameter.held_value().map_err(broken)?;
        Ok(StoredTensor::Owned(converted(held, float_type(&info.dtype).unwrap_or(DType::F32))))
    }
}

/// Values of all parameters by name, read one parameter after the other. For checkpoints: a call reads the whole model
/// from the device.
///
/// # Errors
/// If the device fails.
pub async fn state_dict(model: &Model) -> Result<StateDict, ExecutionError> {
    let mut values = StateDict::new();
    for (name, parameter) in ModelTensors::new(model).parameters {
        let value = parameter.value_async();
        drop(parameter);
        values.insert(name, value.await?);
    }
    Ok(values)
}
