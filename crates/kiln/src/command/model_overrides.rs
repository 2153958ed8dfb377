//! Recipe overrides that take the architecture, the weights and the tokenizer of a model: `--from MODEL`, and a recipe with
//! `from` that has no `[model]`.

use super::{error::CliError, model_args::model_source};
use burn::tensor::Device;
use kiln_nn::head::HeadConfig;
use kiln_peft::config_of;
use kiln_train::recipe::ModelOrigin;
use serde::Serialize;
use std::path::Path;

/// Overrides for `--from`: path and architecture of the model, and the options of its adapters if it is an adapter folder.
pub fn overrides_from_model(from: &Path) -> Result<Vec<String>, CliError> {
    overrides(from, false)
}

/// Overrides for a recipe that has `from` and no `[model]`. An adapter of the recipe is kept.
pub fn overrides_from_origin(origin: &ModelOrigin) -> Result<Vec<String>, CliError> {
    overrides(Path::new(&origin.from), origin.has_adapter)
}

fn overrides(from: &Path, has_adapter: bool) -> Result<Vec<String>, CliError> {
    let source = model_source(from)?;
    let mut model_config = source.config()?;
    // The local path, because a run cannot read a model id on the hub.
    let path = toml::Value::from(source.address().display().to_string());
    let mut sets = vec![format!("from={path}")];
    if let Some(adapter) = source.adapters().last() {
        let model = source.load_model(&Device::flex())?.model;
        // An adapter folder that changes one of two tied weights unties them.
        model_config.clone_from(model.config());
        let config = config_of(model.adapters()).ok_or_else(|| {
            CliError::failed("adapter", "adapters with different ranks or scales cannot be trained further")
                .with_location(adapter.display().to_string())
                .with_help("merge them with `kiln export --format hf`, and start from the exported model")
        });
        if !has_adapter {
            sets.push(format!("stages.0.adapter={}", to_toml_value(&config?)?));
        }
    }
    if let HeadConfig::Embedding(head) = &mut model_config.head {
        // Pooling and normalization are in other files than the architecture.
        *head = source.embedding_config()?;
    }
    sets.push(format!("model={}", to_toml_value(&model_config)?));
    Ok(sets)
}

/// A value for an assignment of `--set`.
fn to_toml_value(value: &impl Serialize) -> Result<toml::Value, CliError> {
    toml::Value::try_from(value).map_err(|error| CliError::failed("model", error.to_string()))
}
