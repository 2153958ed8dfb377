//! The plain model that computes what a model with adapters does: W + s A B in place of W. Adapters that are switched
//! off add nothing.

use crate::attach::detach;
use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};
use kiln_models::{Model, ParameterPath};
use kiln_nn::adapter::AnyAdapter;
use std::collections::BTreeMap;

/// A merged model, and what it was made of.
#[derive(Clone, Debug)]
pub struct MergedModel {
    /// The plain model.
    pub model: Model,
    adapted: Model,
}

impl MergedModel {
    /// Merges. The weights that change are kept twice, all others once.
    pub fn new(model: Model) -> Self {
        Self { model: merge(&model), adapted: model }
    }

    /// The model with adapters again, the base's weights as they were, to the bit.
    pub fn unmerge(self) -> Model {
        self.adapted
    }
}

/// The plain model. What didn't train doesn't either in it.
pub fn merge(model: &Model) -> Model {
    let (plain, train) = (model.valid(), model.device().is_autodiff());
    let base = detach(&plain);
    let mut acting = plain.adapter_modules();
    acting.retain(|map, _| plain.adapters().get(map).is_some_and(|beside| beside.enabled));
    let merged = base.clone().map(&mut AdapterMerger(ParameterPath::for_model(&base), acting));
    if train { merged.train() } else { merged }
}

/// Adapters that are yet to be merged, by the maps that they stand beside.
struct AdapterMerger(ParameterPath, BTreeMap<String, AnyAdapter>);

impl ModuleMapper for AdapterMerger {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.0.name();
        let adapter = name.strip_suffix(".weight").and_then(|map| self.1.remove(map));
        let Some(adapter) = adapter else { return param };
        param.map(|weight| {
            let shape = weight.dims();
            adapter.merge(weight.reshape([shape[0], shape[1]])).reshape(shape)
        })
    }
}
