//! Adapters that are read, saved and read again. With `KILN_SAVED`, peft reads the saved folders
//! (`tools/fixtures_adapters.py --check`).

use super::{base_of, config, expected, load, outputs, relative_difference};
use crate::exports::block_on;
use kiln_pretrained::peft_format::{load_adapters, save_adapters};
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

#[test]
fn adapters_of_the_parts_of_a_fused_layer_are_saved_as_one() {
    let (base, family) = base_of("fused-gpt2");
    let targets = ["attention.q", "attention.v"].map(String::from).into();
    let lora = kiln_peft::LoraConfig { rank: 2, target_modules: targets, ..Default::default() };
    let adapted = kiln_peft::attach(&base, &kiln_peft::AdapterConfig::Lora(lora), 3).unwrap();
    // B starts at 0, which would hide a wrong place.
    let adapted = kiln_models::map_params(adapted, |param| {
        if param.name().ends_with(".lora.b") {
            let seed = param.name().len() as f64;
            param.map(|value| (value.flatten() + 0.01 * seed).into());
        }
    });
    let folder = tempfile::tempdir().unwrap();
    block_on(save_adapters(&adapted, Some(family), folder.path(), None));
    let again = load_adapters(&base, Some(family), folder.path()).unwrap();
    assert_eq!(again.adapters().len(), 6, "k has one too, of zeros");
    let far = relative_difference(&outputs(&again), &outputs(&adapted));
    assert!(far <= 1e-5, "{far:e}");
    assert!(relative_difference(&outputs(&base), &outputs(&adapted)) > 1e-3, "a control");
}
