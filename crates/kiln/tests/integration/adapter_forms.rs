//! Adapter folders in forms that peft writes, with the command line: warnings, refusals, and the exported model.

use crate::common::{copy_files, fixtures_dir, json_values, max_relative_diff, read_tensor, run_kiln, set_config_key};
use serde_json::{Value, json};
use std::{fs, path::Path};

const IDS: &str = "5,17,13,8,2,9,11";

/// A case of `tools/fixtures_adapters.py` in the folder `adapter` and its base model in `base`. Returns peft's logits.
fn write_case(home: &Path, case: &str, model: &str) -> Vec<f64> {
    copy_files(&fixtures_dir().join("hf").join(model), &home.join("base"));
    copy_files(&fixtures_dir().join("peft-forms").join(case), &home.join("adapter"));
    read_tensor(&fixtures_dir().join("peft-forms/expected.safetensors"), case)
}

#[test]
fn what_an_adapter_folder_does_not_fit_is_said_once() {
    let home = tempfile::tempdir().unwrap();
    let expected = write_case(home.path(), "extra-target", "llama-biases");
    let done =
        run_kiln(home.path(), &["logits", "base", "--adapter", "adapter", "--ids", IDS, "--json"]).expect_success();
    assert!(max_relative_diff(&json_values(&done.json_output()["logits"]), &expected) < 2e-5);
    let warnings: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("warning:")).collect();
    let warning = "warning: adapter_config.json: target_modules: the model has no such modules: `query_key_value`";
    assert_eq!(warnings, [warning]);
}

#[test]
fn an_option_that_kiln_lacks_is_refused_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    write_case(home.path(), "pickle", "llama-biases");
    let file = home.path().join("adapter/adapter_config.json");
    let mut options: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    options["use_qalora"] = json!(true);
    fs::write(&file, options.to_string()).unwrap();
    let done = run_kiln(home.path(), &["logits", "base", "--adapter", "adapter", "--ids", IDS, "--json"]);
    let error = done.json_output()["error"].take();
    assert_eq!((done.exit_code, &error["kind"]), (Some(1), &json!("adapter")));
    assert!(error["message"].as_str().unwrap().contains("adapter_config.json: use_qalora"), "{error}");
    assert!(error["help"].as_str().unwrap().contains("merge_and_unload"), "{error}");
}

#[test]
fn a_head_that_the_adapters_untie_is_exported_as_such() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let expected = write_case(here, "tied-saved-embedding", "qwen2-tied");
    set_config_key(&here.join("base"), "architectures", json!(["Qwen2ForCausalLM"]));
    run_kiln(here, &["export", "base", "--adapter", "adapter", "--format", "hf", "--out", "merged"]).expect_success();
    let config: Value = serde_json::from_slice(&fs::read(here.join("merged/config.json")).unwrap()).unwrap();
    assert_eq!(config["tie_word_embeddings"], json!(false));
    let logits = run_kiln(here, &["logits", "merged", "--ids", IDS, "--json"]).expect_success().json_output();
    assert!(max_relative_diff(&json_values(&logits["logits"]), &expected) < 2e-5);
    // The adapters alone do not give the model.
    let refused = run_kiln(here, &["export", "base", "--adapter", "adapter", "--format", "peft", "--out", "alone"]);
    assert!(refused.exit_code == Some(1) && refused.stderr.contains("base weights differ"), "{refused:?}");
}
