//! The plain model that computes what a model with adapters does: W + s A B in place of W. Adapters that are switched
//! off add nothing.

use crate::attach::detach;
use burn::module::Module;
use kiln_models::{Model, map_params};

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
    let merged = map_params(base, |param| {
        let adapter = param.name().strip_suffix(".weight").and_then(|map| acting.remove(map));
        if let Some(adapter) = adapter {
            param.map(|weight| {
                let [inputs, outputs] = weight.shape()[..2] else { unreachable!("an adapted weight is a matrix") };
                adapter.merge(weight.reshape([inputs, outputs])).into()
            });
        }
    });
    if train { merged.train() } else { merged }
}
