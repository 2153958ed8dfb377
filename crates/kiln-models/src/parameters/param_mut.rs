//! A parameter as [`map_params`](super::map_params) hands it over: to change, with its id kept.

use super::{
    any_tensor::AnyTensor,
    param_view::{ErasedParam, ParamHandle, ParamView, unpacked},
    path::ParameterPath,
};
use burn::{
    module::Param,
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use kiln_kernels::packed::is_half;
use kiln_nn::packed_weight::PackedWeight;
use std::{any::Any, collections::BTreeMap};

/// A parameter that is being changed, whatever its rank.
pub(super) trait ErasedSlot {
    fn param(&self) -> &dyn ErasedParam;
    fn map(&mut self, f: &mut dyn FnMut(AnyTensor) -> AnyTensor);
    fn set_value(&mut self, data: TensorData, dtype: Option<DType>);
    fn initialize(&mut self, data: TensorData, device: &Device, dtype: DType);
    fn set_trainable(&mut self, trainable: bool);
    fn share(&mut self, param: Box<dyn ErasedParam>) -> bool;
    fn take_gradient(&self, gradients: &mut GradientsParams) -> Option<AnyTensor>;
}

/// The parameter, which [`Param`]'s methods take by value; always there between two calls.
pub(super) struct Slot<const D: usize>(Option<Param<Tensor<D>>>);

impl<const D: usize> Slot<D> {
    /// A slot with this parameter, to be lent to a closure.
    pub(super) fn new(param: Param<Tensor<D>>) -> Self {
        Self(Some(param))
    }

    /// The parameter after the closure has returned.
    pub(super) fn into_param(self) -> Param<Tensor<D>> {
        self.0.expect("a slot is filled between two calls")
    }

    fn get(&self) -> &Param<Tensor<D>> {
        self.0.as_ref().expect("a slot is filled between two calls")
    }

    /// Replaces the parameter by a function of it. The parameter is moved, not cloned, so that a value that nobody else
    /// shares can be changed in place.
    fn replace(&mut self, f: impl FnOnce(Param<Tensor<D>>) -> Param<Tensor<D>>) {
        self.0 = self.0.take().map(f);
    }
}

impl<const D: usize> ErasedSlot for Slot<D> {
    fn param(&self) -> &dyn ErasedParam {
        self.get()
    }

    fn map(&mut self, f: &mut dyn FnMut(AnyTensor) -> AnyTensor) {
        self.replace(|param| {
            param.map(|old| {
                let shape = old.dims();
                let autodiff = old.is_autodiff();
                let trainable = old.is_require_grad();
                let new = f(old.inner().into()).reshape(shape);
                if autodiff { new.autodiff().set_require_grad(trainable) } else { new }
            })
        });
    }

    fn set_value(&mut self, data: TensorData, dtype: Option<DType>) {
        self.replace(|param| {
            param.map(|old| {
                let dtype = dtype.unwrap_or_else(|| old.dtype());
                let new = Tensor::from_data(data, (&old.device().without_autodiff(), dtype));
                if old.is_autodiff() { new.autodiff().require_grad() } else { new }
            })
        });
    }

    fn initialize(&mut self, data: TensorData, device: &Device, dtype: DType) {
        let value = |device| Tensor::from_data(data, (device, dtype));
        self.replace(|param| Param::initialized(param.id, value(device)).set_require_grad(true));
    }

    fn set_trainable(&mut self, trainable: bool) {
        self.replace(|param| param.set_require_grad(trainable));
    }

    fn share(&mut self, param: Box<dyn ErasedParam>) -> bool {
        let any: Box<dyn Any> = param;
        let Ok(param) = any.downcast::<Param<Tensor<D>>>() else { return false };
        self.0 = Some(*param);
        true
    }

    fn take_gradient(&self, gradients: &mut GradientsParams) -> Option<AnyTensor> {
        gradients.remove::<D>(self.get().id).map(AnyTensor::from)
    }
}

/// A float parameter of a model that is being changed, borrowed for one call of a closure.
pub struct ParamMut<'a> {
    pub(super) path: &'a ParameterPath,
    pub(super) packed: &'a BTreeMap<String, PackedWeight>,
    pub(super) slot: &'a mut dyn ErasedSlot,
}

impl ParamMut<'_> {
    /// The parameter as it is now.
    pub fn view(&self) -> ParamView<'_> {
        ParamView { path: self.path, packed: self.packed, param: self.slot.param() }
    }

    /// Name: `blocks.7.attention.q.weight`.
    pub fn name(&self) -> String {
        self.path.name()
    }

    /// Replaces the value by a function of it. Initializes a lazy parameter, and unpacks a packed one.
    ///
    /// `f` receives the value outside of the autodiff graph and returns any shape with the same number of elements; the
    /// result gets the parameter's shape. Id, trainability and autodiff device stay. If no clone shares the value, `f`
    /// owns it alone and may change it in place. A parameter of 16-bit floats is handed over as 32-bit floats, and the result
    /// is rounded.
    ///
    /// # Panics
    /// If the result has another number of elements.
    pub fn map(&mut self, f: impl FnOnce(AnyTensor) -> AnyTensor) {
        let view = self.view();
        let half = view.dtype().filter(|dtype| is_half(*dtype));
        let packed = view.packed().filter(|_| view.is_placeholder()).cloned();
        let device = view.device().without_autodiff();
        self.map_held(|value| match (packed, half) {
            (Some(packed), _) => f(unpacked(&packed, &device)),
            (None, Some(half)) => f(value.cast(DType::F32)).cast(half),
            (None, None) => f(value),
        });
    }

    /// [`map`](Self::map) of the value as it is held: a parameter of 16-bit floats is handed over as such, a packed one
    /// without its values.
    ///
    /// # Panics
    /// If the result has another number of elements.
    pub fn map_held(&mut self, f: impl FnOnce(AnyTensor) -> AnyTensor) {
        let mut f = Some(f);
        self.slot.map(&mut |value| f.take().map_or_else(|| unreachable!("called once"), |f| f(value)));
    }

    /// Replaces the value by `data`, stored as `dtype` (default: the parameter's own). The id stays; on an autodiff
    /// device the parameter is trainable afterward.
    ///
    /// # Panics
    /// If `data` has another rank.
    pub fn set_value(&mut self, data: TensorData, dtype: Option<DType>) {
        self.slot.set_value(data, dtype);
    }

    /// Gives a lazy parameter its value, held as `dtype`, without running its initialization. The id stays; the parameter is
    /// trainable.
    ///
    /// # Panics
    /// If `data` has another rank.
    pub fn initialize(&mut self, data: TensorData, device: &Device, dtype: DType) {
        self.slot.initialize(data, device, dtype);
    }

    /// Freezes the parameter (`false`) or lets it train (`true`).
    pub fn set_trainable(&mut self, trainable: bool) {
        self.slot.set_trainable(trainable);
    }

    /// Puts another model's parameter in place of this one, with its value and its id, both shared. Returns whether that
    /// was done: a parameter of another rank changes nothing.
    pub fn share(&mut self, other: ParamHandle) -> bool {
        self.slot.share(other.param)
    }

    /// Removes the parameter's gradient from `gradients` and returns it; `None` if there is none.
    pub fn take_gradient(&self, gradients: &mut GradientsParams) -> Option<AnyTensor> {
        self.slot.take_gradient(gradients)
    }
}
