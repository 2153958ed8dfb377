//! Recipes: reading and checking.

use crate::{SessionError, layers::layers};
use burn::tensor::Device;
use kiln::recipes;
use kiln_data::{SourceConfig, SpecialTokens, TokenizerConfig};
use kiln_models::{Model, ModelConfig};
use kiln_spec::ValidationError;
use kiln_train::{Recipe, run::training_memory};
use serde::Deserialize;
use serde_json::{Value, json};

/// A recipe as a page gives it: a text, and assignments over it.
#[derive(Deserialize)]
pub struct RecipeArguments {
    /// The recipe.
    toml: String,
    /// Assignments `key=value`, in order.
    #[serde(default)]
    set: Vec<String>,
}

impl RecipeArguments {
    /// Reads and resolves the recipe. `extends` names a built-in recipe.
    ///
    /// # Errors
    /// The first invalid key, with line and help; a recipe that needs text and has none.
    pub fn load(&self) -> Result<Recipe, SessionError> {
        let recipe = recipes::load(&self.toml, Some("recipe.toml"), &self.set)?;
        if let Some(from) = &recipe.from {
            let error =
                ValidationError::new("from", format!("a page trains from random weights, found the model {from}"));
            return Err(error.with_suggestion("remove `from`, or use the command").into());
        }
        let is_empty = |source: &SourceConfig| matches!(source, SourceConfig::Files(files) if files.paths.is_empty());
        if recipe.data.sources.is_empty() && is_empty(&recipe.data.source) {
            let error = SessionError::usage("the recipe has no training text").at("data.source.files.paths");
            return Err(error.with_help("open a text, or use the built-in stories: data.source = \"stories\""));
        }
        Ok(recipe)
    }
}

/// Checks that weights, gradients and optimizer state of a recipe fit into the address space: 4 GiB in a browser.
///
/// # Errors
/// How much memory the recipe needs.
pub fn check_memory(recipe: &Recipe, device: &Device) -> Result<(), SessionError> {
    let model = ModelConfig { vocab: max_vocab(recipe), ..recipe.model.clone() };
    check_within(training_memory(&Recipe { model, ..recipe.clone() }, device)?.total(), usize::MAX as u64)
}

/// Refuses a need for memory above a limit, both in bytes.
fn check_within(needed: u64, limit: u64) -> Result<(), SessionError> {
    if needed <= limit {
        return Ok(());
    }
    let [needed, limit] = [needed, limit].map(|bytes| bytes as f64 / (1u64 << 30) as f64);
    let reason = format!("training needs at least {needed:.1} GiB of memory, but a page has at most {limit:.1} GiB");
    Err(ValidationError::new("model", reason).with_suggestion("a smaller model.hidden, or fewer blocks").into())
}

/// Call `check`: the resolved recipe with its size.
///
/// # Errors
/// As [`RecipeArguments::load`].
pub fn check(arguments: &RecipeArguments, device: &Device) -> Result<Value, SessionError> {
    let recipe = arguments.load()?;
    let model = ModelConfig { vocab: max_vocab(&recipe), ..recipe.model.clone() };
    let parameters = Model::num_parameters(&model);
    let outline = Model::without_weights(&model);
    let layers = layers(&outline)
        .map(|layer| json!({ "path": layer.path, "pattern": layer.part.pattern().map(ToString::to_string) }));
    let layers: Vec<Value> = layers.collect();
    let memory = training_memory(&Recipe { model, ..recipe.clone() }, device)?;
    Ok(json!({
        "toml": recipe.to_toml(),
        "name": recipe.name,
        "steps": recipe.stages.iter().map(|stage| stage.steps).sum::<u64>(),
        "parameters": parameters,
        "layers": layers,
        "memory_bytes": memory.total(),
    }))
}

/// Upper bound of the vocabulary size, which the tokenizer decides when the data have been read.
pub fn max_vocab(recipe: &Recipe) -> usize {
    match &recipe.tokenizer {
        _ if recipe.model.vocab > 0 => recipe.model.vocab,
        TokenizerConfig::Byte(_) => SpecialTokens::count() + 256,
        TokenizerConfig::Character(config) | TokenizerConfig::Bpe(config) => config.vocab,
        TokenizerConfig::File(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_above_the_limit_is_refused() {
        assert_eq!(check_within(1 << 30, 1 << 30), Ok(()));
        let error = check_within(6 << 30, u64::from(u32::MAX)).unwrap_err();
        assert!(error.message.contains("6.0 GiB") && error.message.ends_with("at most 4.0 GiB"), "{error:?}");
    }
}
