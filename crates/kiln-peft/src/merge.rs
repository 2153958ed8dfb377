//! The plain model that computes what a model with adapters does: W + s A B in place of W. Adapters that are switched
//! off add nothing.

use crate::attach::detach;
use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};
use kiln_models::{Model, Walk};
use kiln_nn::adapter::Adapter;
use std::collections::BTreeMap;

/// A merged model, and what it was made of.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The plain model.
    pub model: Model,
    adapted: Model,
}

impl Merged {
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
    let mut acting = plain.made_adapters();
    acting.retain(|map, _| plain.adapters().get(map).is_some_and(|beside| beside.on));
    let merged = base.clone().map(&mut Fold(Walk::of(&base), acting));
    if train { merged.train() } else { merged }
}

/// Adapters that are yet to be merged, by the maps that they stand beside.
struct Fold(Walk, BTreeMap<String, Adapter>);

impl ModuleMapper for Fold {
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
            adapter.merged(weight.reshape([shape[0], shape[1]])).reshape(shape)
        })
    }
}
