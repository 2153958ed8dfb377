//! Adapter folders of peft, with every command that takes a model.

use crate::common::{CommandResult, copy_files, fixtures_dir, max_relative_diff, read_tensor, run_kiln};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

/// Writes another base into an adapter folder.
fn base(folder: &Path, name: &str) {
    let file = folder.join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["base_model_name_or_path"] = name.into();
    fs::write(file, config.to_string()).unwrap();
}

fn logits(home: &Path, args: &[&str], ids: &str) -> Vec<f64> {
    let json = run_kiln(home, &[&["logits"], args, &["--ids", ids, "--json"]].concat()).expect_success().json_output();
    json["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(a: &[f64], b: &[f64], most: f64) {
    assert!(max_relative_diff(a, b) <= most, "{}", max_relative_diff(a, b));
}

/// A model of the reference's in `models/base`, an adapter of peft's in `adapter`: the ids of a text, and the logits that
/// peft computes after each of them with the adapter and without.
fn of_peft(home: &Path) -> (String, [Vec<f64>; 2]) {
    copy_files(&fixtures_dir().join("hf/llama-biases"), &home.join("models/base"));
    copy_files(&fixtures_dir().join("peft/llama"), &home.join("adapter"));
    let file = home.join("adapter/expected.safetensors");
    let length = read_tensor(&file, "lengths")[0] as usize;
    let ids: Vec<String> = read_tensor(&file, "ids")[..length].iter().map(f64::to_string).collect();
    let vocab = read_tensor(&file, "logits").len() / read_tensor(&file, "ids").len();
    (ids.join(","), ["logits", "base"].map(|name| read_tensor(&file, name)[..length * vocab].to_vec()))
}

#[test]
fn an_adapter_folder_finds_its_base_model() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let (ids, [with, without]) = of_peft(here);
    let absolute = here.join("models/base").display().to_string();
    for name in [absolute.as_str(), "../models/base", "models/base"] {
        base(&here.join("adapter"), name);
        near(&logits(here, &["adapter"], &ids), &with, 5e-5);
    }
    // Wherever it says that its base is, it can be put over a model.
    base(&here.join("adapter"), "nowhere");
    near(&logits(here, &["models/base", "--adapter", "adapter"], &ids), &with, 5e-5);
    near(&logits(here, &["models/base"], &ids), &without, 1e-5);
    assert!(max_relative_diff(&with, &without) > 0.1, "a control");
    // Others are merged below it.
    let twice = logits(here, &["models/base", "--adapter", "adapter", "--adapter", "adapter"], &ids);
    assert!(max_relative_diff(&twice, &with) > 0.1);
    let inspect =
        run_kiln(here, &["inspect", "models/base", "--adapter", "adapter", "--json"]).expect_success().json_output();
    assert!(inspect["parameters"].as_u64().unwrap() > 0, "{inspect}");
}

#[test]
fn a_missing_base_model_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let (ids, _) = of_peft(here);
    let asked = |model: &str| {
        let mut command = crate::common::kiln_command(here, &["logits", model, "--ids", &ids, "--json"]);
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", here.join("cache"));
        let done = CommandResult::from_output(command.output().unwrap());
        assert_eq!(done.exit_code, Some(1), "{done:?}");
        done.json_output()["error"].take()
    };
    base(&here.join("adapter"), "../gone");
    let error = asked("adapter");
    let message = error["message"].as_str().unwrap();
    assert!(error["kind"] == "no-base" && message.contains("adapter/../gone nor ../gone"), "{error}");
    assert!(error["help"].as_str().unwrap().contains("--adapter adapter"), "{error}");
    // What may be a name on the hub is looked for there.
    base(&here.join("adapter"), "owner/gone");
    let error = asked("adapter");
    assert!(error["kind"] == "hub" && error["message"].as_str().unwrap().contains("owner/gone"), "{error}");
    base(&here.join("adapter"), "");
    assert!(asked("adapter")["message"].as_str().unwrap().contains("base_model_name_or_path"));
    // Two adapter folders that name each other as their base model are an error.
    copy_files(&here.join("adapter"), &here.join("other"));
    base(&here.join("adapter"), "../other");
    base(&here.join("other"), "../adapter");
    assert!(asked("adapter")["message"].as_str().unwrap().contains("form a cycle"));
    base(&here.join("adapter"), "../adapter");
    assert_eq!(asked("adapter")["kind"], "no-base");
    // An adapter of another model doesn't fit.
    copy_files(&fixtures_dir().join("hf/llama-llama3"), &here.join("models/third"));
    base(&here.join("adapter"), "../models/third");
    assert_eq!(asked("adapter")["kind"], "adapter");
}

const TUNE: [&str; 12] = [
    "--data",
    "text.txt",
    "--steps",
    "3",
    "--set",
    "stages.0.sequence_length=32",
    "--set",
    "stages.0.num_samples=0",
    "--set",
    "stages.0.adapter.lora.dropout=0.1",
    "--seed",
    "3",
];

/// A Hugging Face model in `hf`, a run with LoRA adapters trained on it in `tuned`, the adapters alone in `peft`.
fn tuned() -> TempDir {
    let home = crate::common::tiny_home();
    let here = home.path();
    fs::write(here.join("tiny.toml"), crate::common::LLAMA_RECIPE).unwrap();
    run_kiln(here, &["train", "tiny.toml", "--out", "run"]).expect_success();
    run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    run_kiln(here, &[&["train", "--from", "hf", "--out", "tuned"], &TUNE[..]].concat()).expect_success();
    run_kiln(here, &["export", "tuned", "--format", "peft", "--out", "peft"]).expect_success();
    home
}

const IDS: &str = "7,300,12,299,1";

#[test]
fn adapters_of_a_run_are_exported() {
    let home = tuned();
    let here = home.path();
    let config: Value = serde_json::from_slice(&fs::read(here.join("peft/adapter_config.json")).unwrap()).unwrap();
    let base = here.join("hf").canonicalize().unwrap();
    assert_eq!(Path::new(config["base_model_name_or_path"].as_str().unwrap()).canonicalize().unwrap(), base);
    assert_eq!((&config["r"], &config["target_modules"]), (&json!(8), &json!(["q_proj", "v_proj"])));
    let own = logits(here, &["tuned"], IDS);
    near(&logits(here, &["peft"], IDS), &own, 1e-6);
    near(&logits(here, &["hf", "--adapter", "peft"], IDS), &own, 1e-6);
    assert!(max_relative_diff(&logits(here, &["hf"], IDS), &own) > 1e-5, "a control");
    run_kiln(here, &["export", "peft", "--format", "hf", "--out", "merged"]).expect_success();
    near(&logits(here, &["merged"], IDS), &own, 1e-5);
    run_kiln(here, &["export", "peft", "--format", "peft", "--out", "again"]).expect_success();
    let weights = |folder: &str| fs::read(here.join(folder).join("adapter_model.safetensors")).unwrap();
    assert_eq!(weights("again"), weights("peft"));
}

#[test]
fn every_command_accepts_adapters() {
    let home = tuned();
    let here = home.path();
    let both = |command: &[&str], rest: &[&str]| {
        let [a, b] = [&["peft"][..], &["hf", "--adapter", "peft"]].map(|model| {
            let mut json = run_kiln(here, &[command, model, rest, &["--json"]].concat()).expect_success().json_output();
            json.as_object_mut().unwrap().retain(|key, _| !key.ends_with("tokens_per_second"));
            json
        });
        assert_eq!(a, b, "{command:?}");
        a
    };
    let of = |command: &[&str], model: &[&str], rest: &[&str]| {
        run_kiln(here, &[command, model, rest, &["--json"]].concat()).expect_success().json_output()
    };
    let written = both(&["generate"], &["--prompt", "Ann was", "--max-new-tokens", "6", "--temperature", "0"]);
    assert_eq!(
        written["ids"],
        of(&["generate"], &["tuned"], &["--prompt", "Ann was", "--max-new-tokens", "6", "--temperature", "0"])["ids"]
    );
    let measured = both(&["eval"], &["--data", "text.txt"])["loss"].as_f64().unwrap();
    let wanted =
        of(&["eval"], &["tuned"], &["--data", "text.txt", "--sequence-length", "512"])["loss"].as_f64().unwrap();
    assert!((measured - wanted).abs() < 1e-5, "{measured} {wanted}");
    assert_eq!(both(&["verify"], &[])["passed"], true);
    assert_eq!(both(&["embed"], &["--text", "Ann"])["shape"], json!([1, 32]));
}

#[test]
fn a_model_with_other_trained_weights_is_not_exported_as_adapters() {
    let home = tuned();
    let here = home.path();
    let refused = |model: &[&str], told: &str| {
        let done = run_kiln(here, &[&["export"], model, &["--format", "peft", "--out", "x"]].concat());
        assert!(done.exit_code == Some(1) && done.stderr.contains(told), "{model:?}: {done:?}");
    };
    refused(&["hf"], "no adapters");
    refused(&["run"], "no adapters");
    refused(&["peft", "--adapter", "peft"], "several adapter folders");
    // A stage that trained all of the model before leaves adapters of other base weights.
    let more = "name = \"both\"\nfrom = \"hf\"\ndata = { source = { files = { paths = [\"text.txt\"] } } }\n";
    let stage = "[[stages]]\nsteps = 2\nsequence_length = 32\nbatch_size = 2\nnum_samples = 0\n";
    let stages = format!("{more}{stage}name = \"whole\"\n{stage}name = \"adapt\"\nadapter = \"lora\"\n");
    fs::write(here.join("both.toml"), stages).unwrap();
    run_kiln(here, &["train", "both.toml", "--from", "hf", "--out", "both"]).expect_success();
    refused(&["both"], "base weights differ");
    let odd = run_kiln(here, &["export", "tuned", "--format", "peft", "--out", "x", "--max-shard-size", "3"]);
    assert!(odd.exit_code == Some(2) && odd.stderr.contains("--max-shard-size"), "{odd:?}");
}

#[test]
fn adapters_of_a_folder_can_be_trained_further() {
    let home = tuned();
    let here = home.path();
    let steps = ["--steps", "1", "--set", "stages.0.schedule.cosine.learning_rate=1e-30"];
    let data = ["--data", "text.txt", "--set", "stages.0.sequence_length=32", "--set", "stages.0.num_samples=0"];
    run_kiln(here, &[&["train", "--from", "peft", "--out", "still"], &data[..], &steps].concat()).expect_success();
    // As good as nothing was learned, so that they are what they were; adapters begun anew would be others.
    run_kiln(here, &["export", "still", "--format", "peft", "--out", "same"]).expect_success();
    let a = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let matrix = |folder: &str| read_tensor(&here.join(folder).join("adapter_model.safetensors"), a);
    near(&matrix("same"), &matrix("peft"), 1e-6);
    near(&logits(here, &["still"], IDS), &logits(here, &["tuned"], IDS), 1e-6);
    let config = |folder: &str| {
        serde_json::from_slice::<Value>(&fs::read(here.join(folder).join("adapter_config.json")).unwrap()).unwrap()
    };
    assert_eq!(config("same"), config("peft"));
    // Other adapters in the recipe: those of the folder are merged, and new ones are trained.
    let other =
        [&["train", "--from", "peft", "--out", "anew", "--set", "stages.0.adapter.lora.rank=2"], &data[..], &steps]
            .concat();
    run_kiln(here, &other).expect_success();
    near(&logits(here, &["anew"], IDS), &logits(here, &["tuned"], IDS), 1e-5);
    let done = run_kiln(here, &["export", "anew", "--format", "peft", "--out", "x"]);
    assert!(done.exit_code == Some(1) && done.stderr.contains("base weights differ"), "{done:?}");
    // A stage has adapters of one rank.
    of_peft(here);
    base(&here.join("adapter"), "../models/base");
    let done = run_kiln(here, &[&["train", "--from", "adapter", "--out", "odd"], &data[..]].concat());
    assert!(done.exit_code == Some(1) && done.stderr.contains("different ranks"), "{done:?}");
}
