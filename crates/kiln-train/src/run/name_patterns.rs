//! Patterns of parameter names in a stage: each must match a parameter of the model.
//!
//! They are checked before the run folder is created. A model without weights has the names.

use crate::{
    Recipe, StageConfig,
    optimizer::{AdamW, Muon, OptimizerConfig, matches},
};
use kiln_models::{Model, ModelConfig, named_parameters};
use kiln_peft::attach;
use kiln_spec::{
    ValidationError,
    config::{ConfigError, closest_match},
};

/// Checks the patterns of parameter names of all stages.
///
/// # Errors
/// The first pattern that matches no parameter, with their number and the most similar name.
pub(super) fn check_name_patterns(recipe: &Recipe) -> Result<(), ConfigError> {
    // The names do not depend on the size of the vocabulary, which may be unknown yet.
    let config = ModelConfig { vocab: recipe.model.vocab.max(1), ..recipe.model.clone() };
    let base = Model::without_weights(&config);
    for (index, stage) in recipe.stages.iter().enumerate() {
        let attached = stage.adapter.as_ref().map(|adapter| attach(&base, adapter, 0)).transpose();
        let model = attached.map_err(|error| error.with_path_prefix(&format!("stages[{index}]")))?;
        let names = named_parameters(model.as_ref().unwrap_or(&base)).into_iter().map(|parameter| parameter.path);
        check_stage(stage, &names.collect::<Vec<_>>(), &format!("stages[{index}]"))?;
    }
    Ok(())
}

/// Checks the patterns of a stage, whose key is `path`, against the names of all parameters.
fn check_stage(stage: &StageConfig, names: &[String], path: &str) -> Result<(), ValidationError> {
    check_patterns(&stage.trainable, &[], names, &format!("{path}.trainable"))?;
    let path = format!("{path}.optimizer");
    match &stage.optimizer {
        OptimizerConfig::AdamW(adamw) => check_adamw(adamw, names, &format!("{path}.adamw")),
        OptimizerConfig::Muon(muon) => {
            let default = Muon::default().adamw_params;
            check_patterns(&muon.adamw_params, &default, names, &format!("{path}.muon.adamw_params"))?;
            check_adamw(&muon.adamw, names, &format!("{path}.muon.adamw"))
        }
    }
}

fn check_adamw(adamw: &AdamW, names: &[String], path: &str) -> Result<(), ValidationError> {
    let default = AdamW::default().no_weight_decay;
    check_patterns(&adamw.no_weight_decay, &default, names, &format!("{path}.no_weight_decay"))
}

/// Checks that each pattern, except those of `default`, which are for all models, matches one of the names.
fn check_patterns(
    patterns: &[String],
    default: &[String],
    names: &[String],
    path: &str,
) -> Result<(), ValidationError> {
    let mut written = patterns.iter().filter(|pattern| !default.contains(pattern));
    let Some(unmatched) = written.find(|pattern| !names.iter().any(|name| matches(pattern, name))) else {
        return Ok(());
    };
    let error = ValidationError::new(path, format!("`{unmatched}` matches none of the {} parameters", names.len()));
    let suggestion = match closest_match(unmatched, names.iter().map(String::as_str)) {
        Some(closest) => format!("a pattern such as \"{closest}\"; `*` matches any characters"),
        None => "`kiln inspect` lists the parameters of a model; `*` matches any characters".into(),
    };
    Err(error.with_suggestion(suggestion))
}
