//! Recipes by name or by path.
//!
//! The built-in recipes are the files in `recipes/`, compiled into the program. A recipe may extend another one by name or by
//! path (`extends = "stories"`); its own keys win.

use super::{error::CliError, model_overrides::overrides_from_origin};
use kiln_spec::{
    ValidationError,
    config::{ConfigError, closest_match},
};
use kiln_train::Recipe;
use std::path::{Path, PathBuf};

/// A built-in recipe.
///
/// Listed by `kiln recipe list`.
pub struct BuiltInRecipe {
    /// Name.
    pub name: &'static str,
    /// One-line description.
    pub description: &'static str,
    /// TOML text.
    pub text: &'static str,
}

/// The built-in recipes. The first one is the default of `kiln train`.
pub const BUILT_IN_RECIPES: [BuiltInRecipe; 8] = [
    BuiltInRecipe {
        name: "stories",
        description: "Built-in stories; three minutes on two cores.",
        text: include_str!("../../recipes/stories.toml"),
    },
    BuiltInRecipe {
        name: "stories-long",
        description: "Built-in stories with a larger model; a quarter of an hour on two cores.",
        text: include_str!("../../recipes/stories-long.toml"),
    },
    BuiltInRecipe {
        name: "text",
        description: "Your own text, given with --data.",
        text: include_str!("../../recipes/text.toml"),
    },
    BuiltInRecipe {
        name: "finetune",
        description: "Fine-tune a pretrained model (--from) on your text with LoRA.",
        text: include_str!("../../recipes/finetune.toml"),
    },
    BuiltInRecipe {
        name: "chat",
        description: "Teach a chat model (--from) your conversations with LoRA.",
        text: include_str!("../../recipes/chat.toml"),
    },
    BuiltInRecipe {
        name: "completion",
        description: "Teach a model (--from) to complete prompts with LoRA.",
        text: include_str!("../../recipes/completion.toml"),
    },
    BuiltInRecipe {
        name: "hybrid",
        description: "Built-in stories with linear attention, attention, experts and mixture of depths.",
        text: include_str!("../../recipes/hybrid.toml"),
    },
    BuiltInRecipe {
        name: "encoder-decoder",
        description: "Built-in stories with an encoder-decoder: continue from a prefix.",
        text: include_str!("../../recipes/encoder-decoder.toml"),
    },
];

/// Loads a recipe by name or path, with the assignments `sets` over it. A recipe with `from` and without a `[model]` gets the
/// architecture of that model.
///
/// Overrides have the form `key=value` and are applied in order; a value that is not TOML is a string.
pub fn load(name: &str, sets: &[String]) -> Result<Recipe, CliError> {
    let (text, file) = read_recipe(name, None)?;
    let origin = Recipe::model_origin(&text, Some(&file), sets, &read_recipe)?;
    let from_origin = origin.as_ref().map_or(Ok(Vec::new()), overrides_from_origin)?;
    let sets = [from_origin, sets.to_vec()].concat();
    Ok(Recipe::load(&text, Some(&file), &sets, &read_recipe)?)
}

/// Text of a recipe, and its name for error messages. `parent` is the recipe that `extends` this one, if any.
fn read_recipe(name: &str, parent: Option<&str>) -> Result<(String, String), ConfigError> {
    if let Some(recipe) = BUILT_IN_RECIPES.iter().find(|recipe| recipe.name == name) {
        return Ok((recipe.text.into(), format!("{name} (built in)")));
    }
    let path = resolve_path(name, parent);
    let text = std::fs::read_to_string(&path).map_err(|error| missing_recipe(name, &path, parent, &error))?;
    Ok((text, path.display().to_string()))
}

/// A path in a recipe is relative to the folder of that recipe.
///
/// Without a parent, the path is relative to the current folder.
fn resolve_path(name: &str, parent: Option<&str>) -> PathBuf {
    let folder = parent.and_then(|parent| Path::new(parent).parent()).unwrap_or(Path::new(""));
    folder.join(name)
}

/// The error names the key `extends` of the parent recipe, if there is one, and suggests a built-in recipe with a
/// similar name.
fn missing_recipe(name: &str, path: &Path, parent: Option<&str>, error: &std::io::Error) -> ConfigError {
    let names = BUILT_IN_RECIPES.map(|recipe| recipe.name);
    let suggestion = match closest_match(name, names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("give the path of a recipe, or one of {}", names.join(", ")),
    };
    let reason = format!("there is no built-in recipe `{name}`, and {} cannot be read: {error}", path.display());
    let key = if parent.is_some() { "extends" } else { "" };
    let error = ValidationError::new(key, reason).with_suggestion(suggestion);
    ConfigError { file: parent.map(str::to_owned), ..error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{FilesConfig, SourceConfig};

    #[test]
    fn every_built_in_recipe_loads_and_has_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        for known in BUILT_IN_RECIPES {
            assert_eq!(load(known.name, &[]).unwrap().name, known.name);
        }
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            load(entry.unwrap().path().to_str().unwrap(), &[]).unwrap();
            files += 1;
        }
        assert_eq!(files, BUILT_IN_RECIPES.len());
    }

    #[test]
    fn the_default_recipe_trains_on_stories() {
        let stories = load("stories", &[]).unwrap();
        assert!(matches!(stories.data.source, SourceConfig::Stories(_)));
        let text = load("text", &[]).unwrap();
        assert_eq!(text.data.source, SourceConfig::Files(FilesConfig::new([] as [&str; 0])));
    }

    #[test]
    fn a_recipe_extends_a_file_or_a_built_in_recipe() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("deep")).unwrap();
        std::fs::write(at("deep/parent.toml"), "extends = \"stories\"\nseed = 7\n").unwrap();
        std::fs::write(at("child.toml"), "extends = \"deep/parent.toml\"\nname = \"child\"\n").unwrap();
        let child = load(&at("child.toml"), &["stages.*.steps=3".into()]).unwrap();
        assert_eq!((child.name.as_str(), child.seed, child.stages[0].steps), ("child", 7, 3));
        let stories = load("stories", &[]).unwrap();
        assert_eq!(child.model, stories.model);
    }

    #[test]
    fn a_missing_recipe_suggests_the_nearest_name() {
        let error = load("storis", &[]).unwrap_err();
        assert_eq!(error.exit_code, 2);
        assert_eq!(error.help.as_deref(), Some("did you mean `stories`?"));
    }
}
