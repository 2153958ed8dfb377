//! Recipes by name or by path.

use super::error::CliError;
use kiln_spec::{
    ValidationError,
    config::{ConfigError, closest_match},
};
use kiln_train::Recipe;
use std::path::{Path, PathBuf};

/// A recipe that comes with Kiln.
pub struct BuiltInRecipe {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in a line.
    pub description: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The recipes that come with Kiln, the default first.
pub const BUILT_IN_RECIPES: [BuiltInRecipe; 6] = [
    BuiltInRecipe {
        name: "stories",
        description: "Built-in stories; three minutes on two cores.",
        text: include_str!("../../recipes/stories.toml"),
    },
    BuiltInRecipe {
        name: "stories-long",
        description: "Built-in stories with a larger model; under an hour.",
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

/// The recipe called `name`, or in the file of that path, with `sets` over it.
pub fn load(name: &str, sets: &[String]) -> Result<Recipe, CliError> {
    let (text, file) = read_recipe(name, None)?;
    Ok(Recipe::load(&text, Some(&file), sets, &read_recipe)?)
}

/// The text called `name` by the recipe `from`, and what to call it in errors.
fn read_recipe(name: &str, from: Option<&str>) -> Result<(String, String), ConfigError> {
    if let Some(known) = BUILT_IN_RECIPES.iter().find(|known| known.name == name) {
        return Ok((known.text.into(), format!("{name} (built in)")));
    }
    let path = resolve_path(name, from);
    let text = std::fs::read_to_string(&path).map_err(|error| missing_recipe(name, &path, from, &error))?;
    Ok((text, path.display().to_string()))
}

/// A path in a recipe counts from that recipe's own folder.
fn resolve_path(name: &str, from: Option<&str>) -> PathBuf {
    let folder = from.and_then(|from| Path::new(from).parent()).unwrap_or(Path::new(""));
    folder.join(name)
}

fn missing_recipe(name: &str, path: &Path, from: Option<&str>, error: &std::io::Error) -> ConfigError {
    let names = BUILT_IN_RECIPES.map(|known| known.name);
    let reason = format!("no recipe `{name}`: {}: {error}", path.display());
    let instead = match closest_match(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("give a path, or one of {}", names.join(", ")),
    };
    let key = if from.is_some() { "extends" } else { "" };
    ConfigError { file: from.map(str::to_owned), ..ValidationError::new(key, reason).with_suggestion(instead).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{FilesConfig, SourceConfig};

    #[test]
    fn every_recipe_that_comes_with_kiln_loads_and_says_its_name() {
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
    fn the_default_is_the_main_job() {
        let stories = load("stories", &[]).unwrap();
        assert!(matches!(stories.data.source, SourceConfig::Stories(_)));
        let text = load("text", &[]).unwrap();
        assert_eq!(text.data.source, SourceConfig::Files(FilesConfig::new([] as [&str; 0])));
    }

    #[test]
    fn a_recipe_extends_one_beside_it_or_a_built_in_one() {
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
    fn a_recipe_that_is_not_there_names_the_nearest() {
        let trouble = load("storis", &[]).unwrap_err();
        assert_eq!(trouble.exit_code, 2);
        assert_eq!(trouble.help.as_deref(), Some("did you mean `stories`?"));
    }
}
