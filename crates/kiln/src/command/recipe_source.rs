//! Recipes by name or by path.
//!
//! A recipe may extend another one by the name of a [built-in recipe](crate::recipes) or by path; its own keys win.

use super::{error::CliError, model_overrides::overrides_from_origin};
use crate::recipes;
use kiln_spec::config::ConfigError;
use kiln_train::Recipe;
use std::path::{Path, PathBuf};

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
    if recipes::find(name).is_some() {
        return recipes::resolve(name, parent);
    }
    let path = resolve_path(name, parent);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        recipes::unknown_recipe(name, parent, &format!(", and {} cannot be read: {error}", path.display()))
    })?;
    Ok((text, path.display().to_string()))
}

/// A path in a recipe is relative to the folder of that recipe.
///
/// Without a parent, the path is relative to the current folder.
fn resolve_path(name: &str, parent: Option<&str>) -> PathBuf {
    let folder = parent.and_then(|parent| Path::new(parent).parent()).unwrap_or(Path::new(""));
    folder.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes::BUILT_IN_RECIPES;

    #[test]
    fn every_file_of_the_folder_recipes_loads_and_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            load(entry.unwrap().path().to_str().unwrap(), &[]).unwrap();
            files += 1;
        }
        assert_eq!(files, BUILT_IN_RECIPES.len());
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
