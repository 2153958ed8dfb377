//! Attaching adapters to a model, weighting them, switching them off and removing them. All models share the base weights.

use crate::targets::build_adapters;
use kiln_models::Model;
use kiln_nn::adapter::{AdapterConfig, AdapterMap, AttachedAdapter, DEFAULT_ADAPTER};
use kiln_spec::ValidationError;

/// The model with new adapters at the sites that `config` selects, under the name `default`.
///
/// Their parameters are drawn from `seed` and their names. Until they are trained, the model computes the same bits as
/// without them, except with prompt tuning. [`Model::adapters`] lists what was attached.
///
/// # Errors
/// If an option is out of range, a pattern matches no site that the method supports (the error lists the layers), or the model
/// has an adapter of this name already. Error paths start with `adapter`.
pub fn attach(model: &Model, config: &AdapterConfig, seed: u64) -> Result<Model, ValidationError> {
    attach_named(model, DEFAULT_ADAPTER, config, seed)
}

/// [`attach`] under another name: a model can have several adapters at one site, whose outputs are added.
///
/// # Errors
/// As [`attach`], and if the name is not made of letters, digits, `-` and `_`.
pub fn attach_named(model: &Model, name: &str, config: &AdapterConfig, seed: u64) -> Result<Model, ValidationError> {
    check_name(name)?;
    let same_name = model.adapters().values().flatten().filter(|adapter| adapter.name == name).count();
    if same_name > 0 {
        let reason = format!("the model already has adapters named `{name}`, at {same_name} sites");
        let help = "merge or detach them first, or use another name";
        return Err(ValidationError::new("adapter", reason).with_suggestion(help));
    }
    let mut adapters = model.adapters().clone();
    for (site, attached) in build_adapters(config, model.config(), "adapter")? {
        adapters.entry(site).or_default().extend(attached.into_iter().map(|adapter| adapter.named(name)));
    }
    Ok(model.with_adapters(adapters, seed))
}

/// Checks that a name can be part of the names of parameters.
fn check_name(name: &str) -> Result<(), ValidationError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if !name.is_empty() && name.chars().all(is_plain) {
        return Ok(());
    }
    let reason = format!("expected an adapter name of letters, digits, `-` and `_`, found `{name}`");
    Err(ValidationError::new("adapter", reason))
}

/// The base model, without adapters.
pub fn detach(model: &Model) -> Model {
    model.with_adapters(AdapterMap::new(), 0)
}

/// The model without the adapters of this name.
///
/// # Errors
/// If the model has no adapter of this name.
pub fn detach_named(model: &Model, name: &str) -> Result<Model, ValidationError> {
    check_names(model, [name])?;
    let mut adapters = model.adapters().clone();
    adapters.values_mut().for_each(|adapters| adapters.retain(|adapter| adapter.name != name));
    adapters.retain(|_, adapters| !adapters.is_empty());
    Ok(model.with_adapters(adapters, 0))
}

/// The model with all its adapters switched on or off. Switched off, it computes the same bits as the base model; the
/// parameters of the adapters stay.
pub fn set_enabled(model: &Model, enabled: bool) -> Model {
    with_changed(model, |adapter| adapter.enabled = enabled)
}

/// The model with only the adapters of these names switched on.
///
/// # Errors
/// If the model has no adapter of one of the names.
pub fn set_active(model: &Model, names: &[&str]) -> Result<Model, ValidationError> {
    check_names(model, names.iter().copied())?;
    Ok(with_changed(model, |adapter| adapter.enabled = names.contains(&adapter.name.as_str())))
}

/// The model with other factors of its adapters, by name: base + Σ wᵢ · adapterᵢ. The others keep theirs.
///
/// # Errors
/// If the model has no adapter of one of the names, or a factor is not finite.
pub fn set_weights(model: &Model, weights: &[(&str, f64)]) -> Result<Model, ValidationError> {
    check_names(model, weights.iter().map(|(name, _)| *name))?;
    if let Some((name, weight)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
        let reason = format!("expected a finite factor of the adapter `{name}`, found {weight}");
        return Err(ValidationError::new("adapter", reason));
    }
    Ok(with_changed(model, |adapter| {
        let own = weights.iter().find(|(name, _)| *name == adapter.name);
        adapter.weight = own.map_or(adapter.weight, |(_, weight)| *weight);
    }))
}

/// The model after a change of its adapters; their parameters stay.
fn with_changed(model: &Model, change: impl Fn(&mut AttachedAdapter)) -> Model {
    let mut adapters = model.adapters().clone();
    adapters.values_mut().flatten().for_each(change);
    model.with_adapters(adapters, 0)
}

/// Checks that the model has adapters of these names.
fn check_names<'a>(model: &Model, names: impl IntoIterator<Item = &'a str>) -> Result<(), ValidationError> {
    let mut known: Vec<&str> = model.adapters().values().flatten().map(|adapter| adapter.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    match names.into_iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let reason = format!("the model has no adapter named `{name}`; its adapters: {}", known.join(", "));
            Err(ValidationError::new("adapter", reason))
        }
        None => Ok(()),
    }
}
