//! Outputs of models with adapters, equal to those of peft.

use super::{base_of, case, config, expected, fixtures, load, outputs, relative_difference};
use kiln_models::Model;
use kiln_peft::merge;
use std::fs;

/// Relative tolerance in f32.
const TOLERANCE: f64 = 2e-5;

/// Checks a case in f32, attached and merged, and that its base model computes something else.
fn check(name: &str) -> Model {
    let (wanted, model) = (expected(name), load(name).unwrap_or_else(|error| panic!("{name}: {error}")));
    for (form, model) in [("attached", &model), ("merged", &merge(&model).unwrap())] {
        let far = relative_difference(&outputs(model), &wanted);
        println!("| {name} | {form} | {far:.1e} |");
        assert!(far <= TOLERANCE, "{name}, {form}: {far:e}");
    }
    let (base, _) = base_of(name);
    let base_name = config(name)["base_model_name_or_path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let plain = expected(&format!("{base_name}.base"));
    assert!(relative_difference(&outputs(&base), &plain) <= TOLERANCE, "{name}: base");
    assert!(relative_difference(&plain, &wanted) > 1e-2, "{name}: a control");
    model
}

/// Number of layers with an adapter.
fn adapted(name: &str) -> usize {
    check(name).adapters().len()
}

#[test]
fn every_case_is_tested() {
    let folders = fs::read_dir(fixtures().join("peft-forms")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for folder in folders.filter(|path| path.is_dir()) {
        check(folder.file_name().unwrap().to_str().unwrap());
        count += 1;
    }
    assert_eq!(count, 31);
}

#[test]
fn modules_are_selected_as_in_peft() {
    assert_eq!(adapted("extra-target"), 4);
    assert_eq!(adapted("target-expression"), 6);
    assert_eq!(adapted("exclude-names"), 11);
    assert_eq!(adapted("exclude-expression"), 3);
    assert_eq!(adapted("layers"), 2);
    assert_eq!(adapted("unselected"), 2);
    assert_eq!(adapted("missing"), 2);
}

#[test]
fn names_in_the_file_may_lack_the_prefix_and_name_the_adapter() {
    let names = |name: &str| load(name).unwrap().adapters().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("names-in-memory"), names("pickle"));
    assert!(!case("pickle").join("adapter_model.safetensors").exists());
}

#[test]
fn a_head_is_untied_only_if_the_file_changes_one_of_the_two_weights() {
    let is_tied =
        |name: &str| serde_json::to_value(load(name).unwrap().config()).unwrap()["head"]["language"]["tied"] == true;
    // The adapter of an embedding changes the lookup only.
    for name in ["tied-saved-shared", "tied-token-rows", "tied-embedding-lora"] {
        assert!(is_tied(name), "{name}");
    }
    for name in ["tied-saved-embedding", "tied-saved-both", "tied-head-lora"] {
        assert!(!is_tied(name), "{name}");
    }
}

#[test]
fn parts_of_a_fused_layer_share_one_matrix() {
    let model = check("fused-gpt2");
    assert_eq!(model.adapters().len(), 7, "q, k and v of two layers, and the embedding");
    let modules = model.adapter_modules();
    let a = |layer: &str| {
        let kiln_nn::adapter::AnyAdapter::Lora(lora) = &modules[layer][0].1 else { panic!("a LoRA") };
        lora.a.val().into_data()
    };
    assert_eq!(a("blocks.0.attention.q"), a("blocks.0.attention.v"));
    assert_eq!(adapted("fused-phi3"), 5, "q, k, v, gate and up");
}
