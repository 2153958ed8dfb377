//! A model's parameters as tensors, read from the device one by one.

use crate::{
    model::Model,
    names::{Values, Walk},
    tensors::{Entry, TensorError, Tensors},
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{ExecutionError, Tensor, TensorData},
};
use kiln_nn::held::Held;
use std::{collections::BTreeMap, pin::Pin};

/// Numbers that are on their way from the device.
type Reading = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>> + Send>>;

/// The parameters of a model, which it shares: nothing is copied before it is read. Reading waits for the device; where
/// nothing may wait, in a browser, [`values`] gets all of them.
pub struct Reader {
    entries: BTreeMap<String, Entry>,
    sources: BTreeMap<String, Box<dyn Source + Send>>,
}

/// Where numbers are.
trait Source {
    fn now(&self) -> Result<TensorData, ExecutionError>;
    fn soon(&self) -> Reading;
}

impl<const D: usize> Source for Param<Tensor<D>> {
    fn now(&self) -> Result<TensorData, ExecutionError> {
        self.val().try_into_data()
    }

    fn soon(&self) -> Reading {
        Box::pin(self.val().into_data_async())
    }
}

/// A matrix that nobody has asked for the numbers of stays packed.
impl Source for Held {
    fn now(&self) -> Result<TensorData, ExecutionError> {
        Ok(self.numbers())
    }

    fn soon(&self) -> Reading {
        Box::pin(std::future::ready(self.now()))
    }
}

impl Reader {
    /// The parameters of this model.
    pub fn of(model: &Model) -> Self {
        let mut collect = Collect(Walk::of(model), model, Self { entries: BTreeMap::new(), sources: BTreeMap::new() });
        model.visit(&mut collect);
        collect.2
    }
}

impl Tensors for Reader {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let source = self.sources.get(name).ok_or_else(|| TensorError::Unknown(name.into()))?;
        source.now().map_err(|error| TensorError::Broken { name: name.into(), reason: error.to_string() })
    }
}

/// Every parameter's values at once: for checkpoints, not for steps.
///
/// # Errors
/// If the device fails.
pub async fn values(model: &Model) -> Result<Values, ExecutionError> {
    let mut values = Values::new();
    for (name, source) in Reader::of(model).sources {
        let reading = source.soon();
        drop(source);
        values.insert(name, reading.await?);
    }
    Ok(values)
}

struct Collect<'a>(Walk, &'a Model, Reader);

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.0.name();
        let held = self.1.packed().get(&name).filter(|_| !param.is_initialized());
        let source: Box<dyn Source + Send> = match held {
            Some(held) => Box::new(held.clone()),
            None => Box::new(param.clone()),
        };
        self.2.entries.insert(name.clone(), Entry::floats(param.lazy_shape().to_vec()));
        self.2.sources.insert(name, source);
    }
}
