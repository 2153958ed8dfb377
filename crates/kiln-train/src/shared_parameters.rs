//! Parameters that are one parameter in several places: the matrix A of a LoRA whose parts share it, VeRA's vector d of a fused
//! layer.
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
    let mut ids = BTreeMap::<String, (ParamId, usize)>::new();
    for_each_param(model, |param| {
        ids.insert(param.name(), (param.id(), param.shape().len()));
    });
    for (copy, owner) in &owners {
        let [Some((copy, rank)), Some((owner, _))] = [copy, owner].map(|name| ids.get(name).copied()) else { continue };
        match rank {
            1 => move_gradient::<1>(&mut gradients, copy, owner),
            _ => move_gradient::<2>(&mut gradients, copy, owner),
        }
    }
    gradients
}

/// Adds the gradient of a copy to that of its owner, and removes it.
fn move_gradient<const D: usize>(gradients: &mut GradientsParams, copy: ParamId, owner: ParamId) {
    let Some(gradient) = gradients.remove::<D>(copy) else { return };
    let sum = match gradients.remove::<D>(owner) {
        Some(own) => own + gradient,
        None => gradient,
    };
    gradients.register(owner, sum);
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
        if owners.values().any(|owner| *owner == name) {
            values.insert(name, param.tensor().inner().flatten());
        }
    });
    map_params(model, |param| {
        if let Some(value) = owners.get(&param.name()).and_then(|owner| values.get(owner)) {
            param.map_held(|_| value.clone().into());
        }
    })
}
