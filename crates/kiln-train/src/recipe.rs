//! A recipe is a value: everything that a run is made from, in TOML.

use crate::stage::StageConfig;
use kiln_data::{DataConfig, TokenizerConfig};
use kiln_models::{ModelConfig, Visibility};
use kiln_spec::{
    Refusal,
    config::{ConfigError, Layered, to_toml},
};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use std::{mem::discriminant, path::Path};

/// A recipe.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Version of the format.
    pub version: u32,
    /// What runs of it are called.
    pub name: String,
    /// Another recipe, by name or path; what stands here wins key by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// A run, a folder with a config.json or a .gguf file, whose weights and tokenizer this run starts with; absent: from
    /// scratch. `kiln train --from` also takes the model over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Names all random numbers.
    pub seed: u64,
    /// The text.
    pub data: DataConfig,
    /// How text becomes tokens.
    pub tokenizer: TokenizerConfig,
    /// The model.
    pub model: ModelConfig,
    /// The stages, one after the other.
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
pub type Find<'a> = &'a dyn Fn(&str, Option<&str>) -> Result<(String, String), ConfigError>;

/// How deep recipes may extend each other.
const DEEP: usize = 16;

impl Recipe {
    /// What a recipe may say.
    pub fn schema() -> Schema {
        schema_for!(Recipe)
    }

    /// Reads a recipe: the text, what it extends, and assignments `key=value` over both. `find` goes from a name, and
    /// the file that says it, to a text and what that is called.
    ///
    /// # Errors
    /// What is wrong in the text, with file and line, or the refusal of what can't be.
    pub fn load(text: &str, file: Option<&str>, sets: &[String], find: Find) -> Result<Self, ConfigError> {
        let schema = Self::schema();
        let mut layered = extended(text, file, find, &schema, DEEP)?;
        for assignment in sets {
            layered.set(&schema, assignment)?;
        }
        let mut recipe: Self = layered.read()?;
        if layered.table().get("model").and_then(|model| model.get("visibility")).is_none() {
            recipe.model.visibility = recipe.trained_visibility();
        }
        // The objective is named as the reason, not a visibility that nobody wrote.
        recipe.check_objectives().map_err(|refusal| layered.locate(refusal))?;
        // Checked as it was written, and once more in full: what is filled in may hide what it was made from.
        recipe.model.check("model").map_err(|refusal| layered.locate(refusal))?;
        recipe.resolve();
        recipe.check().map_err(|refusal| layered.locate(refusal))?;
        Ok(recipe)
    }

    /// Writes down what is left to defaults and surroundings.
    pub fn resolve(&mut self) {
        self.model.resolve();
        self.stages.iter_mut().for_each(StageConfig::resolve);
    }

    /// Makes relative paths to text, to a tokenizer and to another run count from `folder`, wherever the recipe is read
    /// later.
    pub fn anchor(&mut self, folder: &Path) {
        let own = self.stages.iter_mut().filter_map(|stage| stage.data.as_mut());
        own.chain([&mut self.data]).for_each(|data| data.source.anchor(folder));
        self.tokenizer.anchor(folder);
        let from = self.from.as_ref().map(|from| folder.join(from));
        self.from = from.and_then(|from| from.to_str().map(str::to_owned)).or(self.from.take());
    }

    /// Who sees whom when a model is used that the last stage has trained.
    pub fn trained_visibility(&self) -> Visibility {
        self.stages.last().map_or_else(Visibility::default, |stage| stage.objective.build().visibility())
    }

    /// Refuses a model that can't be trained for an objective, or one that would be used in a way for which it isn't
    /// trained.
    fn check_objectives(&self) -> Result<(), Refusal> {
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
        Err(Refusal::new(path(self.stages.len() - 1), reason).instead(instead))
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.version != 1 {
            return Err(Refusal::new("version", format!("this Kiln reads version 1, found {}", self.version)));
        }
        if self.stages.is_empty() {
            return Err(Refusal::new("stages", "a recipe without stages").instead("[[stages]]"));
        }
        self.tokenizer.check().map_err(|error| Refusal::new("tokenizer", error.to_string()))?;
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

fn extended(text: &str, file: Option<&str>, find: Find, schema: &Schema, deep: usize) -> Result<Layered, ConfigError> {
    let mut layered = Layered::new(text, file)?;
    let Some(parent) = layered.take("extends") else { return Ok(layered) };
    let refuse = |reason: String| layered.locate(Refusal::new("extends", reason));
    let Some(parent) = parent.as_str() else { return Err(refuse("expected a recipe's name or path".into())) };
    if deep == 0 {
        return Err(refuse(format!("recipes extend each other more than {DEEP} deep: a circle?")));
    }
    let (text, name) = find(parent, file)?;
    let above = extended(&text, Some(&name), find, schema, deep - 1)?;
    Ok(layered.over(schema, above))
}
