//! Recipes: the complete configuration of a run, in TOML.
//!
//! A recipe is read in layers: its base recipes (`extends`), its own text, and `--set` assignments. Then defaults that
//! depend on other keys are filled in, and everything is checked. The run folder keeps the result.

mod layers;
mod lengths;
mod model_origin;
mod precision;
mod renamed;
#[cfg(test)]
mod tests;

pub use model_origin::ModelOrigin;
pub use precision::PrecisionConfig;

use crate::{metrics::LogFormat, objective::ObjectiveConfig, stage::StageConfig};
use kiln_data::{DataConfig, TokenizerConfig};
use kiln_models::{ModelConfig, Visibility};
use kiln_nn::head::HeadConfig;
use kiln_spec::{
    ValidationError,
    config::{ConfigError, LayeredConfig, to_toml},
};
use layers::read_layers;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use std::{mem::discriminant, path::Path};

/// Configuration of a run: data, tokenizer, model and training stages.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Version of the recipe format. Must be 1.
    pub version: u32,
    /// Name of the run. Without `--out`, the run folder is named after it.
    pub name: String,
    /// Base recipe, by name or path. Keys in this file override it, key by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Model to start from: a run folder, a folder with a config.json, or a .gguf file. Its weights and tokenizer are
    /// used. Absent: random initialization. `kiln train --from` also copies the model configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Random seed of the run.
    pub seed: u64,
    /// Formats in which the metrics are also written, besides `metrics.jsonl`: `tensorboard`, `csv`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogFormat>,
    /// Training and validation text.
    pub data: DataConfig,
    /// Tokenizer.
    pub tokenizer: TokenizerConfig,
    /// Model architecture.
    pub model: ModelConfig,
    /// Number types of the computation.
    #[serde(skip_serializing_if = "PrecisionConfig::is_default")]
    pub precision: PrecisionConfig,
    /// Training stages, run in order.
    pub stages: Vec<StageConfig>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            version: 1,
            name: "run".into(),
            extends: None,
            from: None,
            seed: 0,
            log: Vec::new(),
            data: DataConfig::default(),
            tokenizer: TokenizerConfig::default(),
            model: ModelConfig::default(),
            precision: PrecisionConfig::default(),
            stages: vec![StageConfig::default()],
        }
    }
}

/// Function that finds a base recipe. Arguments: the value of `extends`, and the file that has it, if it is a file. Result: the
/// text of the base recipe, and its file name for errors.
pub type RecipeResolver<'a> = &'a dyn Fn(&str, Option<&str>) -> Result<(String, String), ConfigError>;

impl Recipe {
    /// JSON schema of a recipe.
    pub fn schema() -> Schema {
        schema_for!(Recipe)
    }

    /// Reads the recipe `text`. Its keys override those of its base recipes, which `find` looks up; the assignments `key=value`
    /// in `sets` override both. `file` is the file name of the text for errors.
    ///
    /// ```
    /// # use kiln_spec::{ValidationError, config::ConfigError};
    /// # use kiln_train::Recipe;
    /// let no_base = |_: &str, _: Option<&str>| Err(ConfigError::from(ValidationError::new("extends", "no base recipes")));
    /// let recipe = Recipe::load("seed = 1\n[[stages]]\nsteps = 20", None, &["stages.0.batch_size=4".into()], &no_base)?;
    /// assert_eq!((recipe.seed, recipe.stages[0].steps, recipe.stages[0].batch_size), (1, 20, 4));
    /// let error = Recipe::load("[[stages]]\nrows = 4", Some("old.toml"), &[], &no_base).unwrap_err();
    /// assert_eq!(error.to_string(), "old.toml:2: stages[0].rows: `rows` was renamed to `batch_size`");
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// The first invalid key, with file and line. Renamed keys are reported first, all in one error.
    pub fn load(text: &str, file: Option<&str>, sets: &[String], find: RecipeResolver) -> Result<Self, ConfigError> {
        let layered = read_layers(text, file, sets, find)?;
        lengths::check_one_length(layered.table()).map_err(|error| layered.with_location(error))?;
        Self::from_layers(&layered)
    }

    /// Reads the `recipe.toml` of a run as it is: old names are refused.
    ///
    /// # Errors
    /// The first invalid key, with file and line.
    pub(crate) fn load_unchanged(text: &str, file: Option<&str>) -> Result<Self, ConfigError> {
        Self::from_layers(&read_layers(text, file, &[], &refuse_parent)?)
    }

    /// The recipe of merged layers, resolved and checked.
    fn from_layers(layered: &LayeredConfig) -> Result<Self, ConfigError> {
        let mut recipe: Self = layered.deserialize()?;
        recipe.resolve_objectives();
        if layered.table().get("model").and_then(|model| model.get("visibility")).is_none() {
            recipe.model.visibility = recipe.trained_visibility();
        }
        // Objectives are checked before the model, so that an error names the objective and not a default visibility.
        recipe.check_objectives().map_err(|error| layered.with_location(error))?;
        // The model is checked as written, and again when resolved: filled-in values may hide an invalid one.
        recipe.model.check("model").map_err(|error| layered.with_location(error))?;
        recipe.resolve();
        recipe.check().map_err(|error| layered.with_location(error))?;
        Ok(recipe)
    }

    /// Reads the `recipe.toml` of a run, which is complete and has no base recipe. Keys that an earlier Kiln wrote under
    /// old names are translated.
    ///
    /// # Errors
    /// The first invalid key, with file and line.
    pub fn load_saved(text: &str, file: Option<&str>) -> Result<Self, ConfigError> {
        let translated = renamed::translate(text);
        Self::from_layers(&read_layers(translated.as_deref().unwrap_or(text), file, &[], &refuse_parent)?)
    }

    /// Fills in the options that depend on other keys, in the model and in the stages.
    pub fn resolve(&mut self) {
        self.resolve_objectives();
        self.model.resolve();
        self.stages.iter_mut().for_each(StageConfig::resolve);
    }

    /// Fills in the options of objectives that depend on the model. A last stage that trains embeddings decides about pooling
    /// and normalization of the head `embedding`.
    fn resolve_objectives(&mut self) {
        self.stages.iter_mut().for_each(|stage| stage.objective.resolve(&self.model));
        let last = self.stages.last().map(|stage| &stage.objective);
        if let (Some(ObjectiveConfig::Contrastive(last)), HeadConfig::Embedding(head)) = (last, &self.model.head) {
            let trained = last.trained_head(head);
            self.model.head = HeadConfig::Embedding(trained);
        }
    }

    /// Makes the relative paths to data, to a tokenizer and to another run relative to `folder`, so that the run can be
    /// resumed from any folder.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let stage_data = self.stages.iter_mut().filter_map(|stage| stage.data.as_mut());
        stage_data.chain([&mut self.data]).for_each(|data| data.resolve_relative_to(folder));
        self.stages.iter_mut().for_each(|stage| stage.objective.resolve_relative_to(folder));
        self.tokenizer.resolve_relative_to(folder);
        let from = self.from.as_ref().map(|from| folder.join(from));
        self.from = from.and_then(|from| from.to_str().map(str::to_owned)).or(self.from.take());
    }

    /// The attention visibility that the objective of the last stage trains: the default of `model.visibility`.
    pub fn trained_visibility(&self) -> Visibility {
        self.stages.last().map_or_else(Visibility::default, |stage| stage.objective.build().visibility())
    }

    /// Checks that the model can be trained with each objective, and that the last one trains `model.visibility`.
    fn check_objectives(&self) -> Result<(), ValidationError> {
        for (i, stage) in self.stages.iter().enumerate() {
            stage.objective.check(&self.model, &format!("stages[{i}].objective"))?;
        }
        let Some(last) = self.stages.last() else { return Ok(()) };
        let trained = last.objective.build().directions();
        let visibility = self.model.visibility;
        if trained.iter().any(|direction| discriminant(direction) == discriminant(&visibility.direction(1))) {
            return Ok(());
        }
        let reason = format!(
            "objective `{}` does not train model.visibility = \"{}\"",
            last.objective.name(),
            visibility.name()
        );
        let suggestion =
            format!("model.visibility = \"{}\", or remove model.visibility", self.trained_visibility().name());
        let path = format!("stages[{}].objective", self.stages.len() - 1);
        Err(ValidationError::new(path, reason).with_suggestion(suggestion))
    }

    /// Checks that a stage with virtual tokens, which cannot be merged into weights, is the last one.
    fn check_merges(&self) -> Result<(), ValidationError> {
        let earlier = &self.stages[..self.stages.len() - 1];
        let Some(index) = earlier.iter().position(|stage| stage.row_size().reserved > 0) else { return Ok(()) };
        let reason = "virtual tokens cannot be merged into the weights that the next stage starts from";
        let error = ValidationError::new(format!("stages[{index}].adapter"), reason);
        Err(error.with_suggestion("make it the last stage, or use another method"))
    }

    /// Checks the whole recipe, which must be [resolved](Self::resolve).
    ///
    /// # Errors
    /// The first invalid option, with its path.
    pub fn check(&self) -> Result<(), ValidationError> {
        if self.version != 1 {
            return Err(ValidationError::new(
                "version",
                format!("unsupported recipe version {}, supported: 1", self.version),
            ));
        }
        if self.stages.is_empty() {
            return Err(ValidationError::new("stages", "the recipe has no stages").with_suggestion("[[stages]]"));
        }
        if let Some(format) =
            (1..self.log.len()).find_map(|i| self.log[..i].contains(&self.log[i]).then(|| self.log[i]))
        {
            return Err(ValidationError::new("log", format!("`{}` is listed twice", format.name())));
        }
        self.tokenizer.check().map_err(|error| ValidationError::new("tokenizer", error.to_string()))?;
        self.check_objectives()?;
        self.model.check("model")?;
        self.check_merges()?;
        let mut stages = self.stages.iter().enumerate();
        stages.try_for_each(|(i, stage)| stage.check(&self.model, &format!("stages[{i}]")))
    }

    /// The recipe as TOML, with all defaults.
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }
}

/// Refuses the base recipe `name` of a recipe that a run has saved.
pub(crate) fn refuse_parent(name: &str, _: Option<&str>) -> Result<(String, String), ConfigError> {
    let reason = format!("the recipe of a run is complete and has no base recipe, found `{name}`");
    Err(ValidationError::new("extends", reason).into())
}

/// The error of the option `key` below `path`.
pub(crate) fn invalid(path: &str, key: &str, reason: String) -> Result<(), ValidationError> {
    Err(ValidationError::new(format!("{path}.{key}"), reason))
}
