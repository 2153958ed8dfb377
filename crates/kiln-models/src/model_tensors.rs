//! A model's parameters as tensors, read from the device one by one.

use crate::{
    model::Model,
    parameters::{ParameterPath, StateDict},
    tensors::{TensorError, TensorInfo, TensorSource},
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{ExecutionError, Tensor, TensorData},
};
use kiln_nn::packed_weight::PackedWeight;
use std::{collections::BTreeMap, pin::Pin};

/// Numbers that are on their way from the device.
type ReadFuture = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>> + Send>>;

/// The parameters of a model, which it shares: nothing is copied before it is read. Reading waits for the device; where
/// nothing may wait, in a browser, [`values`] gets all of them.
pub struct ModelTensors {
    entries: BTreeMap<String, TensorInfo>,
    sources: BTreeMap<String, Box<dyn ParameterSource + Send>>,
}

/// Where numbers are.
trait ParameterSource {
    fn read(&self) -> Result<TensorData, ExecutionError>;
    fn read_async(&self) -> ReadFuture;
}

impl<const D: usize> ParameterSource for Param<Tensor<D>> {
    fn read(&self) -> Result<TensorData, ExecutionError> {
        self.val().try_into_data()
    }

    fn read_async(&self) -> ReadFuture {
        Box::pin(self.val().into_data_async())
    }
}

/// A matrix that nobody has asked for the numbers of stays packed.
impl ParameterSource for PackedWeight {
    fn read(&self) -> Result<TensorData, ExecutionError> {
        Ok(self.values())
    }

    fn read_async(&self) -> ReadFuture {
        Box::pin(std::future::ready(self.read()))
    }
}

impl ModelTensors {
    /// The parameters of this model.
    pub fn new(model: &Model) -> Self {
        let mut collect = CollectTensors(
            ParameterPath::for_model(model),
            model,
            Self { entries: BTreeMap::new(), sources: BTreeMap::new() },
        );
        model.visit(&mut collect);
        collect.2
    }
}

impl TensorSource for ModelTensors {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let source = self.sources.get(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        source.read().map_err(|error| TensorError::Broken { name: name.into(), reason: error.to_string() })
    }
}

/// Every parameter's values at once: for checkpoints, not for steps.
///
/// # Errors
/// If the device fails.
pub async fn state_dict(model: &Model) -> Result<StateDict, ExecutionError> {
    let mut values = StateDict::new();
    for (name, source) in ModelTensors::new(model).sources {
        let reading = source.read_async();
        drop(source);
        values.insert(name, reading.await?);
    }
    Ok(values)
}

struct CollectTensors<'a>(ParameterPath, &'a Model, ModelTensors);

impl ModuleVisitor for CollectTensors<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.0.name();
        let held = self.1.packed_weights().get(&name).filter(|_| !param.is_initialized());
        let source: Box<dyn ParameterSource + Send> = match held {
            Some(held) => Box::new(held.clone()),
            None => Box::new(param.clone()),
        };
        self.2.entries.insert(name.clone(), TensorInfo::f32(param.lazy_shape().to_vec()));
        self.2.sources.insert(name, source);
    }
}
