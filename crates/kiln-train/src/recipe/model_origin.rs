//! The model to start from of a recipe without a model of its own.

use super::{Recipe, RecipeResolver, layers::read_layers};
use kiln_spec::config::ConfigError;
use toml::Value;

/// The model to start from of a recipe that has no `[model]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOrigin {
    /// The value of `from`.
    pub from: String,
    /// Whether the first stage names an adapter of its own.
    pub has_adapter: bool,
}

impl Recipe {
    /// The model to start from (`from`) of a recipe that has no `[model]`, in itself or in its base recipes: the
    /// architecture is then that of this model. `None` for a recipe without `from` or with a model.
    ///
    /// # Errors
    /// As [`load`](Self::load), for keys that cannot be read or assigned.
    pub fn model_origin(
        text: &str,
        file: Option<&str>,
        sets: &[String],
        find: RecipeResolver,
    ) -> Result<Option<ModelOrigin>, ConfigError> {
        // An assignment below `model` changes one key; only one to the whole model replaces it.
        let own_keys: Vec<String> =
            sets.iter().filter(|set| !set.trim_start().starts_with("model.")).cloned().collect();
        let layered = read_layers(text, file, &own_keys, find)?;
        let table = layered.table();
        let from = table.get("from").and_then(Value::as_str).filter(|_| !table.contains_key("model"));
        let first_stage = table.get("stages").and_then(|stages| stages.get(0));
        let has_adapter = first_stage.is_some_and(|stage| stage.get("adapter").is_some());
        Ok(from.map(|from| ModelOrigin { from: from.to_owned(), has_adapter }))
    }
}
