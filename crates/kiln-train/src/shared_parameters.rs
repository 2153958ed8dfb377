//! Parameters that are one parameter in several places: the matrix A of a LoRA whose parts share it.
//!
//! Each part holds a copy. The gradient of the one parameter is the sum of the gradients of its copies; it counts once in the
//! global norm and has one state in the optimizer. After an update the copies take the value of the first.

use burn::{module::ParamId, optim::GradientsParams};
use kiln_models::{Model, for_each_param, map_params};
use std::collections::BTreeMap;

/// Gradients in which each shared parameter has the sum of its copies' gradients, and the copies have none.
pub(crate) fn sum_shared(model: &Model, mut gradients: GradientsParams) -> GradientsParams {
    let owners = model.shared_parameters();
    if owners.is_empty() {
        return gradients;
    }
    let mut ids = BTreeMap::<String, ParamId>::new();
    for_each_param(model, |param| {
        ids.insert(param.name(), param.id());
    });
    for (copy, owner) in &owners {
        let [Some(copy), Some(owner)] = [copy, owner].map(|name| ids.get(name).copied()) else { continue };
        let Some(gradient) = gradients.remove::<2>(copy) else { continue };
        let sum = match gradients.remove::<2>(owner) {
            Some(own) => own + gradient,
            None => gradient,
        };
        gradients.register(owner, sum);
    }
    gradients
}

/// The model in which the copies of each shared parameter have its value.
pub(crate) fn update_copies(model: Model) -> Model {
    let owners = model.shared_parameters();
    if owners.is_empty() {
        return model;
    }
    let mut values = BTreeMap::new();
    for_each_param(&model, |param| {
        let name = param.name();
        if owners.values().any(|owner| *owner == name)
            && let Ok(value) = param.tensor().inner().downcast::<2>()
        {
            values.insert(name, value);
        }
    });
    map_params(model, |param| {
        if let Some(value) = owners.get(&param.name()).and_then(|owner| values.get(owner)) {
            param.map_held(|_| value.clone().into());
        }
    })
}
