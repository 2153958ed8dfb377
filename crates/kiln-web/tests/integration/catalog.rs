//! What a page can offer: recipes, components, sizes and patterns.

use crate::page::{Page, RECIPE};
use kiln_web::Array;
use serde_json::json;

#[test]
fn every_recipe_of_the_catalog_that_trains_from_scratch_passes_the_check() {
    let page = Page::new();
    let catalog = page.call("catalog", json!({}));
    let recipes = catalog["recipes"].as_array().unwrap();
    assert_eq!(recipes[0]["name"], "stories");
    let checked = recipes.iter().filter(|recipe| {
        let call = page.try_call("check", json!({ "toml": recipe["toml"] }));
        match kiln_infer::block_on(call) {
            Ok(answer) => answer.value["parameters"].as_u64() > Some(0),
            Err(error) => panic_unless_expected(&error),
        }
    });
    assert!(checked.count() >= 5);
    let families = catalog["families"].as_array().unwrap();
    let patterns = families.iter().find(|family| family["name"] == "pattern").unwrap();
    assert!(patterns["variants"].as_array().unwrap().iter().any(|variant| variant["name"] == "window"));
    assert!(catalog["schema"]["properties"]["model"].is_object());
}

/// Recipes that need a model or a text are refused, all others are not.
fn panic_unless_expected(error: &kiln_web::SessionError) -> bool {
    let location = error.location.as_deref().unwrap_or_default();
    assert!(location.contains("from") || location.contains("paths"), "{error:?}");
    false
}

#[test]
fn a_check_gives_the_resolved_recipe_and_its_size() {
    let page = Page::new();
    let set = json!([
        "stages.0.steps=40",
        "model.blocks.*.sublayers.0.parts.0.attention.pattern={ window = { before = 4, after = 0 } }"
    ]);
    let answer = page.call("check", json!({ "toml": RECIPE, "set": set }));
    assert_eq!((&answer["name"], &answer["steps"]), (&json!("tiny"), &json!(40)));
    assert!(answer["parameters"].as_u64() > Some(1000) && answer["memory_bytes"].as_u64() > Some(16_000));
    assert_eq!(answer["layers"][0]["path"], "blocks.0.attention");
    assert_eq!(answer["layers"][0]["pattern"], "window of 4 before, 0 after");
    assert_eq!(answer["layers"][1]["pattern"], json!(null));
    let again = page.call("check", json!({ "toml": answer["toml"] }));
    assert_eq!(again, answer);
}

#[test]
fn a_recipe_extends_a_built_in_one() {
    let page = Page::new();
    let answer = page.call("check", json!({ "toml": "extends = \"stories\"\nname = \"mine\"\n" }));
    assert_eq!(answer["name"], "mine");
    let error = page.refusal("check", json!({ "toml": "extends = \"storis\"\n" }));
    assert_eq!(error.help.as_deref(), Some("did you mean `stories`?"));
}

#[test]
fn patterns_are_masks_of_queries_and_keys() {
    let page = Page::new();
    let set = json!(["model.blocks.0.sublayers.0.parts.0.attention.pattern={ window = { before = 1, after = 0 } }"]);
    let answer = page.answer("pattern", json!({ "toml": RECIPE, "set": set, "length": 4 }));
    let layers = answer.value["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0], json!({ "path": "blocks.0.attention", "label": "causal, window of 1 before, 0 after" }));
    let (pointer, Array::Bytes(window)) = &answer.arrays[0] else { panic!("{:?}", answer.arrays[0]) };
    assert_eq!(pointer, "/layers/0/visible");
    assert_eq!(window[..], [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]);
    for length in [0, 129] {
        let error = page.refusal("pattern", json!({ "toml": RECIPE, "length": length }));
        assert_eq!(error.location.as_deref(), Some("length"));
    }
}
