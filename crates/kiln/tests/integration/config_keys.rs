//! Keys of a `config.json` that have no effect are said once, on standard error.

use crate::common::run_kiln;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A folder with the tiny model `model`, and its `config.json` with `keys` besides.
fn home(keys: &Value) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vocabulary/added");
    fs::create_dir(home.path().join("model")).unwrap();
    for file in fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, home.path().join("model").join(file.file_name().unwrap())).unwrap();
    }
    let path = home.path().join("model/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(path, config.to_string()).unwrap();
    home
}

#[test]
fn keys_that_compute_nothing_are_named_once_and_change_nothing() {
    let keys = json!({ "unsloth_version": "2024.11.7", "unsloth_fixed": true, "max_sequence_length": 2048 });
    let [plain, with_keys] = [json!({}), keys].map(|keys| home(&keys));
    let logits = |home: &TempDir, command: &[&str]| run_kiln(home.path(), command).expect_success();
    let command = ["logits", "model", "--ids", "5,6,7,8", "--json"];
    let [expected, found] = [&plain, &with_keys].map(|home| logits(home, &command));
    assert_eq!((found.stdout, expected.stderr.as_str()), (expected.stdout, ""));
    assert_eq!(found.stderr.lines().count(), 1, "{}", found.stderr);
    for text in ["warning: ", "config.json: keys that `llama` does not read are ignored: ", "unsloth_fixed"] {
        assert!(found.stderr.contains(text), "{}", found.stderr);
    }
    // Commands that read the configuration several times.
    let generate = ["generate", "model", "--prompt", "Ann", "--temperature", "0", "--tokens", "2"];
    for command in [&generate[..], &["inspect", "model"]] {
        let warned = logits(&with_keys, command);
        assert_eq!(warned.stderr.matches("unsloth_version").count(), 1, "{warned:?}");
        assert_eq!(warned.stdout, logits(&plain, command).stdout);
    }
}

#[test]
fn a_key_that_the_reference_computes_with_is_an_error() {
    let home = home(&json!({ "attention_chunk_size": 4, "unsloth_fixed": true }));
    let failed = run_kiln(home.path(), &["logits", "model", "--ids", "5,6"]);
    assert_eq!(failed.exit_code, Some(1));
    assert!(failed.stderr.contains("config.json: attention_chunk_size: unsupported key of `llama`"), "{failed:?}");
    for (method, reason) in [
        ("hqq", "weights quantized by hqq, 4 bits are not supported"),
        ("awq", "weights quantized by awq expected, but all tensors are plain"),
    ] {
        let home = self::home(&json!({ "quantization_config": { "quant_method": method, "bits": 4 } }));
        let failed = run_kiln(home.path(), &["logits", "model", "--ids", "5,6"]);
        assert_eq!(failed.exit_code, Some(1));
        assert!(failed.stderr.contains(&format!("quantization_config.quant_method: {reason}")), "{failed:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_model_folder_of_links_is_a_model() {
    let home = home(&json!({}));
    let [blobs, snapshot] = ["blobs", "snapshots/main"].map(|name| home.path().join(name));
    fs::rename(home.path().join("model"), &blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    for name in fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().file_name()) {
        std::os::unix::fs::symlink(Path::new("../../blobs").join(&name), snapshot.join(&name)).unwrap();
    }
    std::os::unix::fs::symlink("snapshots/main", home.path().join("link")).unwrap();
    let generated = ["blobs", "snapshots/main", "link"].map(|model| {
        let args = ["generate", model, "--prompt", "Ann", "--temperature", "0", "--tokens", "4", "--json"];
        run_kiln(home.path(), &args).expect_success().json_output()["ids"].clone()
    });
    assert!(generated[0] == generated[1] && generated[1] == generated[2], "{generated:?}");
}
