//! Recipes: reading and checking.

use crate::{SessionError, catalog, layers::layers};
use burn::tensor::Device;
use kiln_data::{SourceConfig, SpecialTokens, TokenizerConfig};
use kiln_models::{Model, ModelConfig};
use kiln_spec::{ValidationError, config::{ConfigError, closest_match}};
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
        let recipe = Recipe::load(&self.toml, Some("recipe.toml"), &self.set, &find_recipe)?;
        let is_empty = |source: &SourceConfig| matches!(source, SourceConfig::Files(files) if files.paths.is_empty());
        if recipe.data.sources.is_empty() && is_empty(&recipe.data.source) {
            let error = SessionError::usage("the recipe has no training text").at("data.source.files.paths");
            return Err(error.with_help("open a text, or use the built-in stories: data.source = \"stories\""));
        }
        Ok(recipe)
    }
}

/// The text of a built-in recipe. `parent` is the recipe that `extends` it.
fn find_recipe(name: &str, parent: Option<&str>) -> Result<(String, String), ConfigError> {
    let recipes = catalog::recipes();
    if let Some(recipe) = recipes.iter().find(|recipe| recipe.name == name) {
        return Ok((recipe.text.into(), format!("{name} (built in)")));
    }
    let names = || recipes.iter().map(|recipe| recipe.name);
    let suggestion = match closest_match(name, names()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("give one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    let error = ValidationError::new("extends", format!("there is no built-in recipe `{name}`"));
    Err(ConfigError { file: parent.map(str::to_owned), ..error.with_suggestion(suggestion).into() })
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
    let layers = layers(&outline).map(|layer| {
        json!({ "path": layer.path, "pattern": layer.part.pattern().map(ToString::to_string) })
    });
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
