//! A recipe is a value: everything that a run is made from, in TOML.

mod renamed;
#[cfg(test)]
mod tests;

use crate::stage::StageConfig;
use kiln_data::{DataConfig, TokenizerConfig};
use kiln_models::{ModelConfig, Visibility};
use kiln_spec::{
    ValidationError,
    config::{ConfigError, ConfigErrorKind, LayeredConfig, RenamedKey, to_toml},
};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use std::{mem::discriminant, path::Path};

/// A recipe.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Version of the recipe format. This Kiln reads 1.
    pub version: u32,
    /// Name of the runs made from this recipe.
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
    /// Training and validation text.
    pub data: DataConfig,
    /// Tokenizer.
    pub tokenizer: TokenizerConfig,
    /// Model architecture.
    pub model: ModelConfig,
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
            data: DataConfig::default(),
            tokenizer: TokenizerConfig::default(),
            model: ModelConfig::default(),
            stages: vec![StageConfig::default()],
        }
    }
}

/// From the name of a recipe, and the file that says it, to its text and what that is called.
pub type RecipeResolver<'a> = &'a dyn Fn(&str, Option<&str>) -> Result<(String, String), ConfigError>;

/// How deep recipes may extend each other.
const MAX_EXTENDS_DEPTH: usize = 16;

impl Recipe {
    /// What a recipe may say.
    pub fn schema() -> Schema {
        schema_for!(Recipe)
    }

    /// Reads a recipe: the text, what it extends, and assignments `key=value` over both. `find` goes from a name, and
    /// the file that says it, to a text and what that is called.
    ///
    /// # Errors
    /// What is wrong in the text, with file and line, or the refusal of what can't be. Names that an earlier Kiln used are
    /// refused all at once, with the new ones.
    pub fn load(text: &str, file: Option<&str>, sets: &[String], find: RecipeResolver) -> Result<Self, ConfigError> {
        let schema = Self::schema();
        let mut renamed_keys = Vec::new();
        let mut layered = load_layers(text, file, find, &schema, MAX_EXTENDS_DEPTH, &mut renamed_keys)?;
        renamed_keys.extend(sets.iter().flat_map(|assignment| renamed_in_assignment(assignment)));
        if let Some(first) = renamed_keys.first().cloned() {
            return Err(renamed_error(first, renamed_keys));
        }
        for assignment in sets {
            layered.set(&schema, assignment)?;
        }
        let mut recipe: Self = layered.deserialize()?;
        if layered.table().get("model").and_then(|model| model.get("visibility")).is_none() {
            recipe.model.visibility = recipe.trained_visibility();
        }
        // The objective is named as the reason, not a visibility that nobody wrote.
        recipe.check_objectives().map_err(|refusal| layered.with_location(refusal))?;
        // Checked as it was written, and once more in full: what is filled in may hide what it was made from.
        recipe.model.check("model").map_err(|refusal| layered.with_location(refusal))?;
        recipe.resolve();
        recipe.check().map_err(|refusal| layered.with_location(refusal))?;
        Ok(recipe)
    }

    /// Reads the recipe that a run has saved: complete, without a base recipe. Keys that an earlier Kiln wrote under old
    /// names are translated.
    ///
    /// # Errors
    /// What is wrong in the text, with file and line.
    pub fn load_saved(text: &str, file: Option<&str>) -> Result<Self, ConfigError> {
        let translated = renamed::translate(text);
        Self::load(translated.as_deref().unwrap_or(text), file, &[], &refuse_parent)
    }

    /// Writes down what is left to defaults and surroundings.
    pub fn resolve(&mut self) {
        self.model.resolve();
        self.stages.iter_mut().for_each(StageConfig::resolve);
    }

    /// Makes relative paths to text, to a tokenizer and to another run count from `folder`, wherever the recipe is read
    /// later.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let own = self.stages.iter_mut().filter_map(|stage| stage.data.as_mut());
        own.chain([&mut self.data]).for_each(|data| data.source.resolve_relative_to(folder));
        self.tokenizer.resolve_relative_to(folder);
        let from = self.from.as_ref().map(|from| folder.join(from));
        self.from = from.and_then(|from| from.to_str().map(str::to_owned)).or(self.from.take());
    }

    /// Who sees whom when a model is used that the last stage has trained.
    pub fn trained_visibility(&self) -> Visibility {
        self.stages.last().map_or_else(Visibility::default, |stage| stage.objective.build().visibility())
    }

    /// Refuses a model that can't be trained for an objective, or one that would be used in a way for which it isn't
    /// trained.
    fn check_objectives(&self) -> Result<(), ValidationError> {
        let path = |i: usize| format!("stages[{i}].objective");
        for (i, stage) in self.stages.iter().enumerate() {
            stage.objective.check(&self.model, &path(i))?;
        }
        let Some(last) = self.stages.last() else { return Ok(()) };
        let (trained, used) = (last.objective.build().directions(), self.model.visibility);
        if trained.iter().any(|direction| discriminant(direction) == discriminant(&used.direction(1))) {
            return Ok(());
        }
        let reason = format!(
            "the objective `{}` doesn't train what model.visibility says, \"{}\"",
            last.objective.name(),
            used.name()
        );
        let instead =
            format!("model.visibility = \"{}\", or leave model.visibility away", self.trained_visibility().name());
        Err(ValidationError::new(path(self.stages.len() - 1), reason).with_suggestion(instead))
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn check(&self) -> Result<(), ValidationError> {
        if self.version != 1 {
            return Err(ValidationError::new("version", format!("this Kiln reads version 1, found {}", self.version)));
        }
        if self.stages.is_empty() {
            return Err(ValidationError::new("stages", "a recipe without stages").with_suggestion("[[stages]]"));
        }
        self.tokenizer.check().map_err(|error| ValidationError::new("tokenizer", error.to_string()))?;
        self.check_objectives()?;
        self.model.check("model")?;
        let mut stages = self.stages.iter().enumerate();
        stages.try_for_each(|(i, stage)| stage.check(&self.model, &format!("stages[{i}]")))
    }

    /// The whole recipe as TOML.
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }
}

fn load_layers(
    text: &str,
    file: Option<&str>,
    find: RecipeResolver,
    schema: &Schema,
    deep: usize,
    renamed_keys: &mut Vec<LocatedKey>,
) -> Result<LayeredConfig, ConfigError> {
    let mut layered = LayeredConfig::new(text, file)?;
    renamed_keys.extend(renamed_in_text(&layered));
    let Some(parent) = layered.take("extends") else { return Ok(layered) };
    let refuse = |reason: String| layered.with_location(ValidationError::new("extends", reason));
    let Some(parent) = parent.as_str() else { return Err(refuse("expected a recipe's name or path".into())) };
    if deep == 0 {
        return Err(refuse(format!("recipes extend each other more than {MAX_EXTENDS_DEPTH} deep: a circle?")));
    }
    let (text, name) = find(parent, file)?;
    let above = load_layers(&text, Some(&name), find, schema, deep - 1, renamed_keys)?;
    Ok(layered.with_parent(schema, above))
}

/// An old name with the place at which it stands.
type LocatedKey = (ConfigError, RenamedKey);

/// The old names in one text, by line.
fn renamed_in_text(layered: &LayeredConfig) -> Vec<LocatedKey> {
    let locate = |key: renamed::OldKey| {
        let place = layered.with_location(ValidationError::new(key.path, String::new()));
        let (file, line) = (place.file.clone(), place.line);
        (place, RenamedKey { old: key.old, new: key.new, file, line })
    };
    let mut keys: Vec<LocatedKey> = renamed::find_in_table(layered.table()).into_iter().map(locate).collect();
    keys.sort_by_key(|(place, _)| place.line);
    keys
}

/// The old names in a `--set` assignment.
fn renamed_in_assignment(assignment: &str) -> Vec<LocatedKey> {
    let file = Some(format!("--set {assignment}"));
    let locate = |key: renamed::OldKey| {
        let place = ConfigError { file: file.clone(), ..ValidationError::new(key.path, String::new()).into() };
        (place, RenamedKey { old: key.old, new: key.new, file: file.clone(), line: None })
    };
    renamed::find_in_assignment(assignment).into_iter().map(locate).collect()
}

/// The error that lists all old names, at the place of the first.
fn renamed_error((place, _): LocatedKey, keys: Vec<LocatedKey>) -> ConfigError {
    let keys = keys.into_iter().map(|(_, key)| key).collect();
    ConfigError { kind: Box::new(ConfigErrorKind::Renamed { keys }), ..place }
}

/// Refuses the base recipe `name` of a recipe that a run has saved.
pub(crate) fn refuse_parent(name: &str, _: Option<&str>) -> Result<(String, String), ConfigError> {
    let reason = format!("the recipe of a run is complete and has no base recipe, found `{name}`");
    Err(ValidationError::new("extends", reason).into())
}
