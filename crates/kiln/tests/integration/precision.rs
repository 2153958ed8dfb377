//! Weights in 16 bits and quantized weights on the command line: training, saving, generating, exporting.

use crate::common::{LLAMA_RECIPE, run_kiln};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Types and bytes of the tensors of a file.
fn tensors(file: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..start]).unwrap();
    let entries = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let tensor = |(name, entry): (String, Value)| {
        let at = |end: usize| start + entry["data_offsets"][end].as_u64().unwrap() as usize;
        (name, (entry["dtype"].as_str().unwrap().to_owned(), bytes[at(0)..at(1)].to_vec()))
    };
    entries.map(tensor).collect()
}

/// A folder with a small trained model as `bf16` (Hugging Face folder) and `q8.gguf`, and a text.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), LLAMA_RECIPE).unwrap();
    let text: String = (0..400).map(|i| format!("Anna saw {i} birds near the old mill. ")).collect();
    fs::write(home.path().join("text.txt"), text.replace("9 birds near the old mill. ", "9 birds.\n\n")).unwrap();
    let run = |args: &[&str]| run_kiln(home.path(), args).expect_success();
    run(&["train", "tiny.toml", "--out", "base"]);
    run(&["export", "base", "--format", "hf", "--dtype", "bf16", "--out", "bf16"]);
    run(&["export", "base", "--format", "gguf", "--dtype", "q8_0", "--out", "q8.gguf"]);
    home
}

/// `kiln train` on the text with `args`, in the folder `out`.
fn train(home: &Path, out: &str, args: &[&str]) -> crate::common::CommandResult {
    let fixed = ["--data", "text.txt", "--steps", "3", "--sequence-length", "32", "--out", out];
    let sets = ["--set", "stages.0.num_samples=0", "--set", "stages.0.keep_checkpoints=9"];
    run_kiln(home, &[&["train"], args, &fixed, &sets, &["--set", "stages.0.checkpoint_every=1"]].concat())
}

/// The weights of a run after a step.
fn saved(home: &Path, run: &str, step: u64) -> BTreeMap<String, (String, Vec<u8>)> {
    let stages: Vec<PathBuf> =
        fs::read_dir(home.join(run).join("stages")).unwrap().map(|entry| entry.unwrap().path()).collect();
    tensors(&stages[0].join(format!("checkpoints/step-{step:06}/model.safetensors")))
}

#[test]
fn adapters_train_over_a_quantized_base_that_never_changes() {
    let home = home();
    let here = home.path();
    train(here, "tuned", &["--from", "q8.gguf"]).expect_success();
    assert!(fs::read_to_string(here.join("tuned/recipe.toml")).unwrap().contains("weights = \"keep\""));
    let (first, last) = (saved(here, "tuned", 1), saved(here, "tuned", 3));
    let packed = last.keys().filter(|name| name.starts_with("packed_columns.Q8_0.")).count();
    assert_eq!(packed, 2 * 7, "the matrices of two blocks: {:?}", last.keys());
    assert!(last.contains_key("packed.Q8_0.embedding"));
    for (name, raw) in &last {
        assert_eq!(first[name] == *raw, !name.contains(".lora."), "{name}");
    }
    // The bytes are those of the file.
    let file = fs::read(here.join("q8.gguf")).unwrap();
    for (name, (_, bytes)) in last.iter().filter(|(name, _)| name.contains("feed_forward") && name.contains("packed")) {
        assert!(file.windows(bytes.len()).any(|window| window == bytes), "{name}");
    }
    let text = |dtype: &[&str]| {
        let args = ["generate", "tuned", "--prompt", "Anna", "--max-new-tokens", "8", "--temperature", "0", "--json"];
        run_kiln(here, &[&args[..], dtype].concat()).expect_success().json_output()["ids"].take()
    };
    assert_eq!(text(&[]), text(&["--dtype", "f32"]));
    run_kiln(here, &["eval", "tuned", "--dtype", "bf16"]).expect_success();
    run_kiln(here, &["export", "tuned", "--format", "peft", "--out", "adapter"]).expect_success();
    // Quantized weights are frozen.
    let refused = train(here, "full", &["text", "--from", "q8.gguf", "--dtype", "keep"]);
    assert!(refused.exit_code == Some(2) && refused.stderr.contains("quantized (Q8_0)"), "{refused:?}");
    assert!(!here.join("full").exists());
    train(here, "full", &["text", "--from", "q8.gguf"]).expect_success();
}

#[test]
fn a_bf16_folder_trains_and_is_saved_at_two_bytes_a_weight() {
    let home = home();
    let here = home.path();
    let before = tensors(&here.join("bf16/model.safetensors"));
    assert!(before.values().all(|(dtype, _)| dtype == "BF16"));
    // Where nothing trains, nothing changes.
    run_kiln(here, &["export", "bf16", "--format", "hf", "--out", "copy"]).expect_success();
    assert!(tensors(&here.join("copy/model.safetensors")) == before);
    train(here, "tuned", &["--from", "bf16"]).expect_success();
    let last = saved(here, "tuned", 3);
    assert!(last.iter().all(|(name, (dtype, _))| dtype == if name.contains(".lora.") { "F32" } else { "BF16" }));
    assert!(last["embedding"] == before["model.embed_tokens.weight"]);
    // Full fine-tuning has masters in f32, and weights of two bytes.
    train(here, "full", &["text", "--from", "bf16", "--dtype", "bf16"]).expect_success();
    assert!(saved(here, "full", 3).values().all(|(dtype, _)| dtype == "BF16"));
    run_kiln(here, &["export", "full", "--format", "hf", "--out", "trained"]).expect_success();
    let after = tensors(&here.join("trained/model.safetensors"));
    assert!(after.values().all(|(dtype, _)| dtype == "BF16") && after != before);
    assert!(fs::read_to_string(here.join("trained/config.json")).unwrap().contains("bfloat16"));
    let refused = train(here, "none", &["text", "--from", "bf16", "--dtype", "f16"]);
    assert!(refused.exit_code == Some(2) && refused.stderr.contains("of f16"), "{refused:?}");
}
