//! Call `catalog`: recipes, and the schema of a recipe.

use kiln_train::Recipe;
use serde_json::{Value, json};

/// A recipe of the command that trains from scratch on the built-in stories.
pub struct BuiltInRecipe {
    /// Name.
    pub name: &'static str,
    /// TOML text.
    pub text: &'static str,
}

/// The recipes. The first one is the default of `kiln train`.
pub const BUILT_IN_RECIPES: [BuiltInRecipe; 4] = [
    BuiltInRecipe { name: "stories", text: include_str!("../../kiln/recipes/stories.toml") },
    BuiltInRecipe { name: "stories-long", text: include_str!("../../kiln/recipes/stories-long.toml") },
    BuiltInRecipe { name: "hybrid", text: include_str!("../../kiln/recipes/hybrid.toml") },
    BuiltInRecipe { name: "encoder-decoder", text: include_str!("../../kiln/recipes/encoder-decoder.toml") },
];

impl BuiltInRecipe {
    /// The first line of its text, without the comment sign.
    fn description(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

/// What a page can offer: `{"recipes":[{"name","description","toml"}],"schema"}`.
pub fn catalog() -> Value {
    let recipes = BUILT_IN_RECIPES
        .iter()
        .map(|recipe| json!({ "name": recipe.name, "description": recipe.description(), "toml": recipe.text }));
    json!({ "recipes": recipes.collect::<Vec<_>>(), "schema": Recipe::schema() })
}
