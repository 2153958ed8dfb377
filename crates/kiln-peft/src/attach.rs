//! Attaching adapters to a model, switching them off and removing them. All models share the base weights.

use crate::config::AdapterConfig;
use kiln_models::Model;
use kiln_nn::adapter::{AdapterMap, AttachedAdapter};
use kiln_spec::ValidationError;

/// The model with new adapters on the linear layers that `config` selects.
///
/// Their parameters are drawn from `seed` and their names. Until they are trained, the model computes the same bits as
/// without them. [`Model::adapters`] lists what was attached.
///
/// # Errors
/// If an option is out of range, a pattern matches no linear layer (the error lists the layers), or the model has adapters
/// already. Error paths start with `adapter`.
pub fn attach(model: &Model, config: &AdapterConfig, seed: u64) -> Result<Model, ValidationError> {
    if !model.adapters().is_empty() {
        let reason = format!("the model already has {} adapters", model.adapters().len());
        return Err(ValidationError::new("adapter", reason).with_suggestion("merge or detach them first"));
    }
    Ok(model.with_adapters(config.build_adapters(model.config(), "adapter")?, seed))
}

/// The base model, without adapters.
pub fn detach(model: &Model) -> Model {
    model.with_adapters(AdapterMap::new(), 0)
}

/// The model with its adapters switched on or off. Switched off, it computes the same bits as the base model; the
/// parameters of the adapters stay.
pub fn set_enabled(model: &Model, enabled: bool) -> Model {
    let adapters = model.adapters().iter();
    let switched = adapters.map(|(layer, adapter)| (layer.clone(), AttachedAdapter { enabled, ..adapter.clone() }));
    model.with_adapters(switched.collect(), 0)
}
