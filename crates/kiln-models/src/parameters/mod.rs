//! Parameters of a model: one walk that reads them, one that changes them.
//!
//! [`for_each_param`] hands each parameter to a function as a [`ParamView`]; [`map_params`] hands it as a [`ParamMut`],
//! which replaces values and keeps [`ParamId`]s. Both erase the rank of the tensor ([`AnyTensor`]), so that a function
//! over all parameters is a closure. A value is read from the device only if the closure asks for it.
//!
//! Both walks visit the parameters in the order of the model's fields: embedding, position, blocks (by sublayer and
//! part), norm, head, encoder. Sums over parameters (the global norm of gradients) use this order.
//!
//! ```
//! use kiln_models::{Model, ModelConfig, parameters::{for_each_param, map_params}};
//!
//! let config = ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() };
//! let model = Model::init(&config, 0, &burn::tensor::Device::flex());
//! let mut names = Vec::new();
//! for_each_param(&model, |param| names.push(param.name()));
//! assert_eq!(names[0], "embedding");
//!
//! let model = map_params(model, |param| {
//!     if param.name() == "embedding" {
//!         param.map(|value| (value.flatten() * 2.0).into());
//!     }
//! });
//! # let _ = model;
//! ```

mod any_tensor;
mod model_tensors;
mod param_mut;
mod param_view;
mod path;
mod state_dict;

pub use self::{
    any_tensor::AnyTensor,
    model_tensors::{ModelTensors, state_dict},
    param_mut::ParamMut,
    param_view::{GradientsRef, ParamHandle, ParamView, ValueFuture},
    state_dict::{HeldWeights, WeightMismatch, load_held_weights, load_state_dict},
};
use self::{param_mut::Slot, path::ParameterPath};
use crate::model::Model;
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Tensor, TensorData},
};
use kiln_nn::packed_weight::PackedWeight;
use std::collections::BTreeMap;

/// Values of parameters by name.
pub type StateDict = BTreeMap<String, TensorData>;

/// Name, id and shape of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedParameter {
    /// Name: `blocks.7.attention.q.weight`.
    pub path: String,
    /// Burn's id, unique in this process and not stored in files.
    pub id: ParamId,
    /// Shape, slowest dimension first.
    pub shape: Vec<usize>,
}

/// Names, ids and shapes of all parameters, in the order of [`for_each_param`]. Reads no values.
pub fn named_parameters(model: &Model) -> Vec<NamedParameter> {
    let mut parameters = Vec::new();
    for_each_param(model, |param| {
        parameters.push(NamedParameter { path: param.name(), id: param.id(), shape: param.shape() });
    });
    parameters
}

/// Calls `f` with every float parameter of the model, in the order of the model's fields.
///
/// The walk itself reads no values, initializes no lazy parameter and unpacks no packed weight.
pub fn for_each_param(model: &Model, f: impl FnMut(&ParamView)) {
    walk(model, ParameterPath::for_model(model), &model.packed, f);
}

/// Calls `f` with every float parameter of any module, such as a single layer.
///
/// [`ParamView::name`] then joins the fields with dots, as there are no blocks to name parts by; packed weights are not
/// recognized.
pub fn for_each_module_param<M: Module>(module: &M, f: impl FnMut(&ParamView)) {
    walk(module, ParameterPath::default(), &BTreeMap::new(), f);
}

/// The model after `f` has changed its parameters, called with each in the order of [`for_each_param`].
///
/// A parameter that `f` leaves alone keeps its value, its lazy state and its clones; every parameter keeps its
/// [`ParamId`] unless `f` calls [`ParamMut::share`].
pub fn map_params(model: Model, f: impl FnMut(&mut ParamMut)) -> Model {
    let (path, packed) = (ParameterPath::for_model(&model), model.packed.clone());
    model.map(&mut Mapper { path, packed: &packed, f })
}

/// [`map_params`] for any module, with names as in [`for_each_module_param`].
pub fn map_module_params<M: Module>(module: M, f: impl FnMut(&mut ParamMut)) -> M {
    map_at(ParameterPath::default(), module, f)
}

/// [`map_module_params`] for a module that is part of a model under the name `root`, which names start with.
pub(crate) fn map_params_under<M: Module>(root: &str, module: M, f: impl FnMut(&mut ParamMut)) -> M {
    map_at(ParameterPath::rooted_at(root), module, f)
}

/// Maps all float parameters of a module whose names start at `path`.
fn map_at<M: Module>(path: ParameterPath, module: M, f: impl FnMut(&mut ParamMut)) -> M {
    module.map(&mut Mapper { path, packed: &BTreeMap::new(), f })
}

/// Visits all float parameters of a module whose names start at `path`.
fn walk<M: Module>(
    module: &M,
    path: ParameterPath,
    packed: &BTreeMap<String, PackedWeight>,
    f: impl FnMut(&ParamView),
) {
    module.visit(&mut Visitor { path, packed, f });
}

/// The only [`ModuleVisitor`]: keeps the path and erases the rank.
struct Visitor<'a, F> {
    path: ParameterPath,
    packed: &'a BTreeMap<String, PackedWeight>,
    f: F,
}

impl<F: FnMut(&ParamView)> ModuleVisitor for Visitor<'_, F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        (self.f)(&ParamView { path: &self.path, packed: self.packed, param });
    }
}

/// The only [`ModuleMapper`]: keeps the path and erases the rank.
struct Mapper<'a, F> {
    path: ParameterPath,
    packed: &'a BTreeMap<String, PackedWeight>,
    f: F,
}

impl<F: FnMut(&mut ParamMut)> ModuleMapper for Mapper<'_, F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let mut slot = Slot::new(param);
        (self.f)(&mut ParamMut { path: &self.path, packed: self.packed, slot: &mut slot });
        slot.into_param()
    }
}

#[cfg(test)]
mod tests;
