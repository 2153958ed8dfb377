//! A parameter as [`for_each_param`](super::for_each_param) hands it over: everything about it, values on request.

use super::{any_tensor::AnyTensor, path::ParameterPath};
use burn::{
    module::{Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Device, ExecutionError, Gradients, Tensor, TensorData},
};
use kiln_kernels::packed::{is_half, is_placeholder};
use kiln_nn::packed_weight::{BaseWeight, PackedWeight};
use std::{any::Any, collections::BTreeMap, pin::Pin};

/// Values on their way from the device.
pub type ValueFuture = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>> + Send>>;

/// Gradients to look a parameter's gradient up in.
#[derive(Clone, Copy)]
pub enum GradientsRef<'a> {
    /// Result of `backward()`.
    Graph(&'a Gradients),
    /// Gradients by [`ParamId`].
    Params(&'a GradientsParams),
}

impl<'a> From<&'a Gradients> for GradientsRef<'a> {
    fn from(gradients: &'a Gradients) -> Self {
        Self::Graph(gradients)
    }
}

impl<'a> From<&'a GradientsParams> for GradientsRef<'a> {
    fn from(gradients: &'a GradientsParams) -> Self {
        Self::Params(gradients)
    }
}

/// A parameter whatever its rank.
pub(super) trait ErasedParam: Any + Send {
    fn id(&self) -> ParamId;
    fn shape(&self) -> Vec<usize>;
    fn dtype(&self) -> Option<DType>;
    fn is_initialized(&self) -> bool;
    fn is_placeholder(&self) -> bool;
    fn device(&self) -> Device;
    fn is_require_grad(&self) -> bool;
    fn tensor(&self) -> AnyTensor;
    fn gradient(&self, gradients: GradientsRef) -> Option<AnyTensor>;
    fn value_async(&self) -> ValueFuture;
    fn share(&self) -> Box<dyn ErasedParam>;
}

impl<const D: usize> ErasedParam for Param<Tensor<D>> {
    fn id(&self) -> ParamId {
        self.id
    }

    fn shape(&self) -> Vec<usize> {
        self.lazy_shape().to_vec()
    }

    fn dtype(&self) -> Option<DType> {
        (self.is_initialized() && !is_placeholder(self)).then(|| (**self).dtype())
    }

    fn is_initialized(&self) -> bool {
        self.is_initialized()
    }

    fn is_placeholder(&self) -> bool {
        self.is_initialized() && is_placeholder(self)
    }

    fn device(&self) -> Device {
        self.lazy_device()
    }

    fn is_require_grad(&self) -> bool {
        (**self).is_require_grad()
    }

    fn tensor(&self) -> AnyTensor {
        self.val().into()
    }

    fn gradient(&self, gradients: GradientsRef) -> Option<AnyTensor> {
        let gradient = match gradients {
            GradientsRef::Graph(gradients) => self.val().grad(gradients),
            GradientsRef::Params(gradients) => gradients.get::<D>(self.id),
        };
        gradient.map(AnyTensor::from)
    }

    fn value_async(&self) -> ValueFuture {
        let value = self.val().into_data_async();
        Box::pin(async move { value.await.map(half_to_f32) })
    }

    fn share(&self) -> Box<dyn ErasedParam> {
        Box::new(self.clone())
    }
}

/// A float parameter of a model, borrowed for one call of a closure.
///
/// Name, id, shape, dtype and packed form cost no device access. [`value`](Self::value) and
/// [`value_async`](Self::value_async) read the values; [`tensor`](Self::tensor) leaves them on the device.
pub struct ParamView<'a> {
    pub(super) path: &'a ParameterPath,
    pub(super) packed: &'a BTreeMap<String, PackedWeight>,
    pub(super) param: &'a dyn ErasedParam,
}

impl<'a> ParamView<'a> {
    /// Name: `blocks.7.attention.q.weight`. Unique in a model; the key of checkpoints and state dicts.
    pub fn name(&self) -> String {
        self.path.name()
    }

    /// The module's own field names joined by dots, enum variants left out:
    /// `blocks.7.sublayers.0.parts.0.projection.q.weight`.
    pub fn field_path(&self) -> String {
        self.path.field_path()
    }

    /// Burn's id, which clones of a parameter share and [`map_params`](super::map_params) keeps.
    pub fn id(&self) -> ParamId {
        self.param.id()
    }

    /// Shape, slowest dimension first.
    pub fn shape(&self) -> Vec<usize> {
        self.param.shape()
    }

    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Type of the elements on the device; `None` while the parameter is lazy, that is before its first use or while it
    /// is only held packed.
    pub fn dtype(&self) -> Option<DType> {
        self.param.dtype()
    }

    /// Whether training computes a gradient for the parameter. Initializes a lazy parameter.
    pub fn is_trainable(&self) -> bool {
        self.param.is_require_grad()
    }

    /// The packed (quantized or 16-bit) form, if the parameter is held packed and its values have not been unpacked.
    pub fn packed(&self) -> Option<&'a PackedWeight> {
        let has_values = || self.param.is_initialized() && !self.param.is_placeholder();
        if self.packed.is_empty() || has_values() { None } else { self.packed.get(&self.name()) }
    }

    /// Whether the parameter is held packed on an autodiff device, where it stays frozen.
    pub fn is_placeholder(&self) -> bool {
        self.param.is_placeholder()
    }

    /// The device of the parameter. Initializes no lazy parameter.
    pub fn device(&self) -> Device {
        self.param.device()
    }

    /// The values, read from the device now, as 32-bit floats. A packed weight is dequantized for the caller and stays packed.
    ///
    /// # Errors
    /// If the device fails.
    pub fn value(&self) -> Result<TensorData, ExecutionError> {
        match self.packed() {
            Some(packed) => Ok(packed.values()),
            None => self.param.tensor().into_data().map(half_to_f32),
        }
    }

    /// [`value`](Self::value) where the thread must not wait for the device, as in a browser.
    pub fn value_async(&self) -> ValueFuture {
        value_async(self.param, self.packed())
    }

    /// The value on its device, part of the autodiff graph on an autodiff device. Initializes a lazy parameter, and so
    /// unpacks a packed one for good; on an autodiff device a packed one is dequantized for the caller.
    pub fn tensor(&self) -> AnyTensor {
        match self.packed().filter(|_| self.is_placeholder()) {
            Some(packed) => unpacked(packed, &self.device()),
            None => self.param.tensor(),
        }
    }

    /// The parameter's gradient, on the device and outside of the autodiff graph; `None` if it has none.
    pub fn gradient<'g>(&self, gradients: impl Into<GradientsRef<'g>>) -> Option<AnyTensor> {
        self.param.gradient(gradients.into())
    }

    /// An owned handle that shares the parameter, for use after the walk.
    pub fn handle(&self) -> ParamHandle {
        ParamHandle { param: self.param.share(), packed: self.packed().cloned() }
    }
}

/// A parameter, shared with the model that it came from: no values are copied until they are read.
pub struct ParamHandle {
    pub(super) param: Box<dyn ErasedParam>,
    packed: Option<PackedWeight>,
}

impl ParamHandle {
    /// The values, read from the device now, as 32-bit floats. A packed weight is dequantized for the caller and stays packed.
    ///
    /// # Errors
    /// If the device fails.
    pub fn value(&self) -> Result<TensorData, ExecutionError> {
        match &self.packed {
            Some(packed) => Ok(packed.values()),
            None => self.param.tensor().into_data().map(half_to_f32),
        }
    }

    /// [`value`](Self::value) in the type in which the parameter is held: 16-bit floats as such, also those of a packed matrix.
    ///
    /// # Errors
    /// If the device fails.
    pub fn held_value(&self) -> Result<TensorData, ExecutionError> {
        match &self.packed {
            Some(packed) => Ok(packed.held_values()),
            None => self.param.tensor().into_data(),
        }
    }

    /// [`value`](Self::value) where the thread must not wait for the device, as in a browser.
    pub fn value_async(&self) -> ValueFuture {
        value_async(&*self.param, self.packed.as_ref())
    }

    /// The matrix for computations outside of the autodiff graph, packed or not. `None` if it has no values, or is no matrix.
    pub(crate) fn base_weight(&self) -> Option<BaseWeight> {
        match &self.packed {
            Some(packed) => Some(BaseWeight::Packed(packed.clone(), self.param.device().without_autodiff())),
            None if !self.param.is_initialized() || self.param.is_placeholder() => None,
            None => self.param.tensor().inner().downcast().ok().map(BaseWeight::Floats),
        }
    }

    /// The packed form, if the parameter was held packed when the handle was made.
    pub fn packed(&self) -> Option<&PackedWeight> {
        self.packed.as_ref()
    }
}

/// Starts reading; the future borrows neither argument.
fn value_async(param: &dyn ErasedParam, packed: Option<&PackedWeight>) -> ValueFuture {
    match packed {
        Some(packed) => Box::pin(std::future::ready(Ok(packed.values()))),
        None => param.value_async(),
    }
}

/// The values of a packed weight as a tensor on a device, outside of the autodiff graph.
pub(super) fn unpacked(packed: &PackedWeight, device: &Device) -> AnyTensor {
    match packed.stack {
        Some(_) => packed.to_stack_tensor(device).into(),
        None => packed.to_tensor(device).into(),
    }
}

/// Values of 16-bit floats as 32-bit floats; others unchanged.
fn half_to_f32(data: TensorData) -> TensorData {
    if is_half(data.dtype()) { data.convert::<f32>() } else { data }
}
