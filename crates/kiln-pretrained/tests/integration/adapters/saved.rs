//! Adapters that are read, saved and read again. With `KILN_SAVED`, peft reads the saved folders
//! (`tools/fixtures_adapters.py --check`).

use super::{base_of, config, expected, load, outputs, relative_difference};
use crate::exports::block_on;
use kiln_models::{Model, hf::Family};
use kiln_nn::adapter::{AdapterConfig, Ia3Config, LoraConfig, VeraConfig};
use kiln_pretrained::peft_format::{
    AdapterExport, load_adapters, save_adapters, save_adapters_with, write_adapters, write_adapters_with,
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Cases whose folder holds nothing but adapters.
const SAVED: [&str; 7] =
    ["extra-target", "rank-order", "rank-stabilized", "bfloat16", "names-in-memory", "fused-phi3", "encoder"];

#[test]
fn a_saved_folder_computes_the_same() {
    let temporary = tempfile::tempdir().unwrap();
    let out = std::env::var_os("KILN_SAVED").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for name in SAVED {
        let (base, family) = base_of(name);
        let base_name = config(name)["base_model_name_or_path"].as_str().unwrap().to_owned();
        let folder = out.join(name);
        block_on(save_adapters(&load(name).unwrap(), Some(family), &folder, Some(&base_name)));
        let again = load_adapters(&base, Some(family), &folder).unwrap();
        let far = relative_difference(&outputs(&again), &expected(name));
        assert!(far <= 2e-5, "{name}: {far:e}");
    }
}

/// GPT-2 with an adapter of some parts of its fused layers, whose values are moved from those of a new one.
fn with_adapters_of_parts(config: &AdapterConfig) -> (Model, Model, &'static Family) {
    let (base, family) = base_of("fused-gpt2");
    let adapted = kiln_peft::attach(&base, config, 3).unwrap();
    let adapted = kiln_models::map_params(adapted, |param| {
        // B of a LoRA starts at 0, which would hide a wrong place.
        if [".b", ".l", ".magnitude", ".lambda_b"].iter().any(|end| param.name().ends_with(end)) {
            let seed = param.name().len() as f64;
            param.map(|value| (value.flatten() + 0.01 * seed).into());
        }
    });
    (base, adapted, family)
}

#[test]
fn adapters_of_the_parts_of_a_fused_layer_are_saved_as_one() {
    let target_modules: Vec<String> = ["attention.q", "attention.v"].map(String::from).into();
    let lora = LoraConfig { rank: 2, target_modules: target_modules.clone(), ..Default::default() };
    let ia3 = Ia3Config { target_modules, feedforward_modules: Vec::new(), ..Default::default() };
    for config in [AdapterConfig::Lora(lora.clone()), AdapterConfig::Dora(lora), AdapterConfig::Ia3(ia3)] {
        let (base, adapted, family) = with_adapters_of_parts(&config);
        let folder = tempfile::tempdir().unwrap();
        block_on(save_adapters(&adapted, Some(family), folder.path(), None));
        let again = load_adapters(&base, Some(family), folder.path()).unwrap();
        assert_eq!(again.adapters().len(), 6, "k has one too, which changes nothing");
        let far = relative_difference(&outputs(&again), &outputs(&adapted));
        assert!(far <= 1e-5, "{config:?}: {far:e}");
        assert!(relative_difference(&outputs(&base), &outputs(&adapted)) > 1e-3, "{config:?}: a control");
    }
}

/// In PEFT's format, q, k and v of a fused layer have different rows of one B.
#[test]
fn random_matrices_that_are_not_parts_of_one_are_refused() {
    let target_modules = ["attention.q", "attention.v"].map(String::from).into();
    let config = AdapterConfig::Vera(VeraConfig { rank: 3, target_modules, ..Default::default() });
    let (_, adapted, family) = with_adapters_of_parts(&config);
    let write = |model: &Model| {
        let model = model.clone();
        block_on(async move { Ok::<_, String>(write_adapters(&model, Some(family), None).await) })
    };
    let written = write(&adapted);
    assert!(written.is_ok(), "q and v have the same rows, in other places of the fused B: {written:?}");
    let adapted = kiln_models::map_params(adapted, |param| {
        if param.name() == "blocks.1.attention.v.vera.b" {
            param.map(|value| (value.flatten() * 2.0).into());
        }
    });
    let error = write(&adapted).expect_err("other matrices");
    assert!(error.to_string().contains("blocks.1.attention.v") && error.to_string().contains("`vera_B`"), "{error}");
}

/// The module of `modules_to_save` and the adapters are found by comparison with the base model.
#[test]
fn other_weights_of_the_base_model_are_saved_as_modules() {
    let (base, family) = base_of("saved-norms");
    let adapted = load("saved-norms").unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let out = std::env::var_os("KILN_SAVED").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let folder = out.join("saved-norms");
    let base_name = config("saved-norms")["base_model_name_or_path"].as_str().unwrap().to_owned();
    let export = AdapterExport {
        family: Some(family),
        base_name: Some(&base_name),
        base: Some(&base),
        ..AdapterExport::default()
    };
    block_on(save_adapters_with(&adapted, &folder, &export));
    let written: Value = serde_json::from_slice(&std::fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    // `norm` is the end of all names of norms.
    let norms = ["input_layernorm", "post_attention_layernorm"];
    let names = [0, 1].iter().flat_map(|layer| norms.iter().map(move |norm| format!("model.layers.{layer}.{norm}")));
    assert_eq!(written["modules_to_save"], json!(names.chain(["model.norm".into()]).collect::<Vec<_>>()));
    let again = load_adapters(&base, Some(family), &folder).unwrap();
    let far = relative_difference(&outputs(&again), &expected("saved-norms"));
    assert!(far <= 2e-5, "{far:e}");
    // Without the base model, the adapters are written alone.
    let alone = tempfile::tempdir().unwrap();
    block_on(save_adapters(&adapted, Some(family), alone.path(), None));
    let alone = load_adapters(&base, Some(family), alone.path()).unwrap();
    assert!(relative_difference(&outputs(&alone), &expected("saved-norms")) > 1e-3, "a control");
}

#[test]
fn weights_that_a_folder_cannot_hold_beside_its_adapters_are_refused() {
    let refusal = |model: &Model, base: &Model| {
        let model = model.clone();
        let export = AdapterExport { base: Some(base), ..AdapterExport::default() };
        let written = block_on(async move { Ok::<_, String>(write_adapters_with(&model, &export).await) });
        let said = written.expect_err("other weights").to_string();
        assert!(said.contains("the base weights differ"), "{said}");
        said
    };
    let (base, _) = base_of("saved-head");
    assert!(refusal(&load("saved-head").unwrap(), &base).contains("head.weight"), "an untied head");
    let adapted = load("extra-target").unwrap();
    let changed = |parameter: &str| {
        kiln_models::map_params(adapted.clone(), |param| {
            if param.name() == parameter {
                param.map(|value| (value.flatten() * 2.0).into());
            }
        })
    };
    assert!(refusal(&changed("blocks.0.attention.q.weight"), &base).contains("not both"));
    assert!(refusal(&changed("embedding"), &base).contains("tied to the output matrix"));
}
