//! Call `catalog`: recipes, component families, and the schema of a recipe.

use kiln_train::Recipe;
use serde_json::{Value, json};

pub struct BuiltInRecipe {
    pub name: &'static str,
    pub description: &'static str,
    pub text: &'static str,
}

pub fn recipes() -> &'static [BuiltInRecipe] {
    &[BuiltInRecipe {
        name: "stories",
        description: "Built-in stories",
        text: include_str!("../../kiln/recipes/stories.toml"),
    }]
}

/// The answer.
pub fn catalog() -> Value {
    let recipes = recipes()
        .iter()
        .map(|recipe| json!({ "name": recipe.name, "description": recipe.description, "toml": recipe.text }));
    json!({ "recipes": recipes.collect::<Vec<_>>(), "families": [], "schema": Recipe::schema() })
}
