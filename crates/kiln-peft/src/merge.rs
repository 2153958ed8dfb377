//! Merging adapters into the weights of a model: W + s A B in place of W (2106.09685, section 4.1).
//!
//! A merged model has the parameters and the speed of the base model. Its outputs equal those of the adapted model up to
//! rounding, as (W + s A B) x and W x + s A (B x) round differently.

use crate::attach::detach;
use burn::module::Module;
use kiln_models::{Model, map_params};

/// Merged model that can be unmerged.
#[derive(Clone, Debug)]
pub struct MergedModel {
    /// The model with the adapters in its weights.
    pub model: Model,
    /// The model that was merged.
    adapted: Model,
}

impl MergedModel {
    /// Merges the adapters of a model. Memory: the merged weights exist twice, all others once.
    pub fn new(model: Model) -> Self {
        Self { model: merge(&model), adapted: model }
    }

    /// The model with its adapters as before the merge. The base weights are the same bits: they are kept, not computed.
    pub fn unmerge(self) -> Model {
        self.adapted
    }
}

/// The model with its adapters added to its weights. Adapters that are switched off are left out.
///
/// The result is on the device of `model`, autodiff or not. Its parameters keep their ids and stay frozen or trainable.
pub fn merge(model: &Model) -> Model {
    let is_autodiff = model.device().is_autodiff();
    // Packed weights without an adapter stay packed.
    let plain = if is_autodiff { model.valid() } else { model.clone() };
    let mut adapters = plain.adapter_modules();
    adapters.retain(|layer, _| plain.adapters().get(layer).is_some_and(|adapter| adapter.enabled));
    let merged = map_params(detach(&plain), |param| {
        let adapter = param.name().strip_suffix(".weight").and_then(|layer| adapters.remove(layer));
        if let Some(adapter) = adapter {
            param.map(|weight| {
                let [inputs, outputs] = weight.shape()[..] else { unreachable!("the weight of a layer is a matrix") };
                adapter.merge(weight.reshape([inputs, outputs])).into()
            });
        }
    });
    if is_autodiff { merged.train() } else { merged }
}
