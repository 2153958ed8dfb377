//! The built-in recipes, and recipes that extend them. Needs no files.
//!
//! The built-in recipes are the files in `recipes/`, compiled into the program. A recipe may extend one of them by name
//! (`extends = "stories"`); its own keys win.
//!
//! ```
//! let text = "extends = \"stories\"\nseed = 7\n";
//! let recipe = kiln::recipes::load(text, Some("mine.toml"), &["stages.0.steps=30".into()])?;
//! assert_eq!((recipe.seed, recipe.stages[0].steps), (7, 30));
//!
//! let error = kiln::recipes::load_built_in("storis", &[]).unwrap_err();
//! assert_eq!(error.help().as_deref(), Some("did you mean `stories`?"));
//! # Ok::<(), kiln::spec::config::ConfigError>(())
//! ```

use kiln_spec::{
    ValidationError,
    config::{ConfigError, ConfigKey, closest_match},
};
use kiln_train::Recipe;
use serde_json::{Value, json};

/// A built-in recipe.
///
/// Listed by `kiln recipe list`.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInRecipe {
    /// Name.
    pub name: &'static str,
    /// One-line description.
    pub description: &'static str,
    /// TOML text.
    pub text: &'static str,
}

/// The built-in recipes. The first one is the default of `kiln train`.
pub const BUILT_IN_RECIPES: [BuiltInRecipe; 11] = [
    BuiltInRecipe {
        name: "stories",
        description: "Built-in stories; three minutes on two cores.",
        text: include_str!("../recipes/stories.toml"),
    },
    BuiltInRecipe {
        name: "stories-long",
        description: "Built-in stories with a larger model; a quarter of an hour on two cores.",
        text: include_str!("../recipes/stories-long.toml"),
    },
    BuiltInRecipe {
        name: "text",
        description: "Your own text, given with --data.",
        text: include_str!("../recipes/text.toml"),
    },
    BuiltInRecipe {
        name: "finetune",
        description: "Fine-tune a pretrained model (--from) on your text with LoRA.",
        text: include_str!("../recipes/finetune.toml"),
    },
    BuiltInRecipe {
        name: "chat",
        description: "Teach a chat model (--from) your conversations with LoRA.",
        text: include_str!("../recipes/chat.toml"),
    },
    BuiltInRecipe {
        name: "completion",
        description: "Teach a model (--from) to complete prompts with LoRA.",
        text: include_str!("../recipes/completion.toml"),
    },
    BuiltInRecipe {
        name: "contrastive",
        description: "A sentence encoder from pairs of texts, given with --data.",
        text: include_str!("../recipes/contrastive.toml"),
    },
    BuiltInRecipe {
        name: "hybrid",
        description: "Built-in stories with linear attention, attention, experts and mixture of depths.",
        text: include_str!("../recipes/hybrid.toml"),
    },
    BuiltInRecipe {
        name: "encoder-decoder",
        description: "Built-in stories with an encoder-decoder: continue from a prefix.",
        text: include_str!("../recipes/encoder-decoder.toml"),
    },
    BuiltInRecipe {
        name: "dpo",
        description: "Preference optimization of a pretrained model (--from) with LoRA, from pairs given with --data.",
        text: include_str!("../recipes/dpo.toml"),
    },
    BuiltInRecipe {
        name: "distill",
        description: "Built-in stories; the student learns from a teacher.",
        text: include_str!("../recipes/distill.toml"),
    },
];

/// Returns the built-in recipe of this name.
pub fn find(name: &str) -> Option<&'static BuiltInRecipe> {
    BUILT_IN_RECIPES.iter().find(|recipe| recipe.name == name)
}

/// Loads the recipe in `text`, with the assignments `sets` (`key=value`) over it. `extends` names a built-in recipe. `file` is
/// the file name of the text for errors.
///
/// # Errors
/// The first invalid key, with file and line; an unknown base recipe.
pub fn load(text: &str, file: Option<&str>, sets: &[String]) -> Result<Recipe, ConfigError> {
    Recipe::load(text, file, sets, &resolve)
}

/// Loads a built-in recipe, with the assignments `sets` (`key=value`) over it.
///
/// # Errors
/// If there is none of this name; the first invalid assignment.
pub fn load_built_in(name: &str, sets: &[String]) -> Result<Recipe, ConfigError> {
    let (text, file) = resolve(name, None)?;
    load(&text, Some(&file), sets)
}

/// Text of a built-in recipe, and its name for errors: a [`RecipeResolver`](kiln_train::recipe::RecipeResolver).
///
/// # Errors
/// If there is none of this name. The error is that of the key `extends` of the file `parent`, if there is one.
pub fn resolve(name: &str, parent: Option<&str>) -> Result<(String, String), ConfigError> {
    match find(name) {
        Some(recipe) => Ok((recipe.text.into(), format!("{name} (built in)"))),
        None => Err(unknown_recipe(name, parent, "")),
    }
}

/// The error of a recipe that is not built in, with the nearest name; `detail` is added to the sentence.
pub(crate) fn unknown_recipe(name: &str, parent: Option<&str>, detail: &str) -> ConfigError {
    let names = BUILT_IN_RECIPES.map(|recipe| recipe.name);
    let suggestion = match closest_match(name, names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if detail.is_empty() => format!("one of {}", names.join(", ")),
        None => format!("give the path of a recipe, or one of {}", names.join(", ")),
    };
    let key = if parent.is_some() { "extends" } else { "" };
    let error = ValidationError::new(key, format!("there is no built-in recipe `{name}`{detail}"));
    ConfigError { file: parent.map(str::to_owned), ..error.with_suggestion(suggestion).into() }
}

/// The built-in recipes as JSON, as `kiln recipe list --json` prints them: `{"recipes":[{"name","about"}]}`.
pub fn list_json() -> Value {
    let recipes = BUILT_IN_RECIPES.iter().map(|recipe| json!({ "name": recipe.name, "about": recipe.description }));
    json!({ "recipes": recipes.collect::<Vec<_>>() })
}

/// Keys of a recipe as JSON, as `kiln recipe explain --json` prints them: `{"keys":[{"key","about","default","legal"}]}`.
///
/// ```
/// let keys = kiln::spec::config::explain(&kiln::train::Recipe::schema());
/// let json = kiln::recipes::keys_json(&keys);
/// assert_eq!(json["keys"][0]["key"], "version");
/// ```
pub fn keys_json<'a>(keys: impl IntoIterator<Item = &'a ConfigKey>) -> Value {
    let keys = keys
        .into_iter()
        .map(|key| json!({ "key": key.path, "about": key.description, "default": key.default, "legal": key.allowed }));
    json!({ "keys": keys.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{FilesConfig, SourceConfig};

    #[test]
    fn every_built_in_recipe_loads_and_has_its_name() {
        for known in BUILT_IN_RECIPES {
            assert_eq!(load_built_in(known.name, &[]).unwrap().name, known.name);
        }
    }

    #[test]
    fn the_default_recipe_trains_on_stories() {
        let stories = load_built_in(BUILT_IN_RECIPES[0].name, &[]).unwrap();
        assert!(matches!(stories.data.source, SourceConfig::Stories(_)));
        let text = load_built_in("text", &[]).unwrap();
        assert_eq!(text.data.source, SourceConfig::Files(FilesConfig::new([] as [&str; 0])));
    }

    #[test]
    fn an_unknown_base_recipe_names_the_file() {
        let error = load("extends = \"deep/parent.toml\"", Some("mine.toml"), &[]).unwrap_err();
        assert_eq!(error.file.as_deref(), Some("mine.toml"));
        assert!(error.help().unwrap().contains("stories"), "{error}");
    }
}
