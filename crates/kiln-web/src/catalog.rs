//! Call `catalog`: recipes, component families, and the schema of a recipe.

use kiln::{recipes::BUILT_IN_RECIPES, variants};
use kiln_spec::VariantFamily;
use kiln_train::Recipe;
use serde_json::{Value, json};

/// What a page can offer: `{"recipes":[{"name","description","toml"}],"families":[{"name","description","variants":[…]}],"schema"}`.
/// A variant has the columns of `kiln variants --json`.
pub fn catalog() -> Value {
    let recipes = BUILT_IN_RECIPES
        .iter()
        .map(|recipe| json!({ "name": recipe.name, "description": recipe.description, "toml": recipe.text }));
    json!({
        "recipes": recipes.collect::<Vec<_>>(),
        "families": variants::FAMILIES.iter().map(family_json).collect::<Vec<_>>(),
        "schema": Recipe::schema(),
    })
}

/// A family with its variants.
fn family_json(family: &VariantFamily) -> Value {
    let variants = variants::to_json([family])["variants"].take();
    json!({ "name": family.name, "description": family.description, "variants": variants })
}
