//! The rules against those of peft: every expected value is what its `check_target_module_exists` returns.

use super::*;
use serde_json::json;

const Q0: &str = "model.layers.0.self_attn.q_proj";
const V1: &str = "model.layers.1.self_attn.v_proj";
const UP: &str = "model.layers.10.mlp.up_proj";

fn rules(config: &Value) -> ModuleRules {
    ModuleRules::from_json(config.as_object().unwrap()).unwrap()
}

fn selected(config: &Value) -> [bool; 4] {
    let rules = rules(config);
    [Q0, V1, UP, "lm_head"].map(|module| rules.selects(module, module == "lm_head").unwrap())
}

#[test]
fn names_match_whole_names_and_ends_after_a_dot() {
    assert_eq!(selected(&json!({ "target_modules": ["q_proj", "absent"] })), [true, false, false, false]);
    assert_eq!(selected(&json!({ "target_modules": ["proj", "*.q_proj", ".q_proj"] })), [false; 4]);
    assert_eq!(selected(&json!({ "target_modules": [V1, "lm_head"] })), [false, true, false, true]);
    assert_eq!(selected(&json!({ "target_modules": ["self_attn.q_proj"] })), [true, false, false, false]);
    let rules = rules(&json!({ "target_modules": ["q_proj", "query_key_value"] }));
    assert_eq!(rules.unmatched_names(&[Q0, V1]), ["query_key_value"]);
}

#[test]
fn a_string_is_a_regular_expression_of_the_whole_name() {
    assert_eq!(selected(&json!({ "target_modules": r".*\.(q|v)_proj" })), [true, true, false, false]);
    assert_eq!(selected(&json!({ "target_modules": "q_proj" })), [false; 4]);
    // Alternatives are whole names too, and Python's lookahead is understood.
    assert_eq!(selected(&json!({ "target_modules": "lm_head|q_proj" })), [false, false, false, true]);
    assert_eq!(selected(&json!({ "target_modules": r"(?!lm_head).*_proj" })), [true, true, true, false]);
    assert_eq!(selected(&json!({ "target_modules": "All-Linear" })), [true, true, true, false]);
    assert_eq!(selected(&json!({})), [true; 4]);
}

#[test]
fn excluded_and_saved_modules_get_no_adapter() {
    let all = json!("all-linear");
    let exclude = |value: Value| selected(&json!({ "target_modules": all, "exclude_modules": value }));
    assert_eq!(exclude(json!(["v_proj"])), [true, false, true, false]);
    assert_eq!(exclude(json!(r".*layers\.1\..*")), [true, false, true, false]);
    assert_eq!(exclude(json!([])), [true, true, true, false]);
    let targets = json!(["q_proj", "lm_head", "up_proj"]);
    let save = |value: Value| selected(&json!({ "target_modules": targets, "modules_to_save": value }));
    assert_eq!(save(json!(["lm_head"])), [true, false, true, false]);
    assert_eq!(save(json!(["self_attn"])), [false, false, true, true]);
    assert_eq!(save(json!(["q_pro"])), [true, false, true, true]);
}

#[test]
fn layers_are_selected_by_their_first_number() {
    let layers = |config: Value| {
        let mut all = json!({ "target_modules": ["q_proj", "v_proj", "up_proj", "lm_head"] });
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        selected(&all)
    };
    assert_eq!(layers(json!({ "layers_to_transform": 1 })), [false, true, false, true]);
    assert_eq!(layers(json!({ "layers_to_transform": [0, 10] })), [true, false, true, true]);
    assert_eq!(layers(json!({ "layers_to_transform": [1], "layers_pattern": "layers" })), [false, true, false, true]);
    assert_eq!(
        layers(json!({ "layers_to_transform": [1], "layers_pattern": ["h", "blocks"] })),
        [false, false, false, true]
    );
    assert_eq!(layers(json!({ "layers_to_transform": [] })), [true, true, true, true]);
    // A whole name is selected whatever its layer.
    let whole = json!({ "target_modules": [Q0], "layers_to_transform": [1] });
    assert_eq!(selected(&whole), [true, false, false, false]);
    let nested = rules(&json!({ "target_modules": ["w1"], "layers_to_transform": [1] }));
    assert!(nested.selects("model.layers.1.experts.0.w1", false).unwrap());
    assert!(!nested.selects("model.layers.0.experts.1.w1", false).unwrap());
}

#[test]
fn values_that_are_no_rules_are_refused_by_their_key() {
    let refused = |config: Value| ModuleRules::from_json(config.as_object().unwrap()).unwrap_err();
    for (key, value) in [
        ("target_modules", json!(7)),
        ("target_modules", json!(["q_proj", 1])),
        ("target_modules", json!("(q_proj")),
        ("exclude_modules", json!("*")),
        ("modules_to_save", json!("lm_head")),
        ("modules_to_save", json!(["["])),
        ("layers_to_transform", json!(["a"])),
    ] {
        let error = refused(json!({ key: value }));
        assert_eq!(error.path, key, "{error}");
    }
    // An expression that backtracks without end is an error, not a hang.
    let slow = rules(&json!({ "target_modules": r"(?:(a|a?)+)+(?=b)\1c" }));
    let name = "a".repeat(64);
    assert!(slow.selects(&name, false).is_err() || !slow.selects(&name, false).unwrap());
}
