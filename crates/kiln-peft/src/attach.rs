//! A model with adapters, without, and with them switched off. All of them share the base's parameters.

use crate::config::AdapterConfig;
use kiln_models::Model;
use kiln_nn::adapter::{AdapterMap, AttachedAdapter};
use kiln_spec::ValidationError;

/// The model with new adapters, drawn from `seed` by name; until they are trained it computes what it did, to the bit.
/// How many there are says [`Model::adapters`].
///
/// # Errors
/// What can't be, a pattern that fits no linear map (with those there are), or adapters that are there already.
pub fn attach(model: &Model, config: &AdapterConfig, seed: u64) -> Result<Model, ValidationError> {
    if !model.adapters().is_empty() {
        let reason = format!("the model has {} adapters already", model.adapters().len());
        return Err(ValidationError::new("adapter", reason).with_suggestion("merge or detach them first"));
    }
    Ok(model.with_adapters(config.build_adapters(model.config(), "adapter")?, seed))
}

/// The base alone.
pub fn detach(model: &Model) -> Model {
    model.with_adapters(AdapterMap::new(), 0)
}

/// The model with its adapters acting or not; switched off, it computes what the base does, to the bit.
pub fn set_enabled(model: &Model, on: bool) -> Model {
    let switched =
        model.adapters().iter().map(|(name, beside)| (name.clone(), AttachedAdapter { enabled: on, ..beside.clone() }));
    model.with_adapters(switched.collect(), 0)
}
