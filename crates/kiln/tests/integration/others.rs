//! Models in files of other programs, with every command that takes a model: an exported run gives the same results.

use crate::common::{kiln_command, max_relative_diff, run_kiln};
use serde_json::Value;
use std::{fs, io::Write, path::Path, process::Stdio};
use tempfile::TempDir;

fn trained_home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), crate::common::LLAMA_RECIPE).unwrap();
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "run"]).expect_success();
    home
}

fn logits(home: &Path, model: &str) -> Vec<f64> {
    let json = run_kiln(home, &["logits", model, "--ids", "7,300,12,299,1", "--json"]).expect_success().json_output();
    assert_eq!(json["shape"][0], 5);
    crate::common::json_values(&json["logits"])
}

#[track_caller]
fn near(a: &[f64], b: &[f64], most: f64) {
    assert!(max_relative_diff(a, b) <= most, "{}", max_relative_diff(a, b));
}

#[test]
fn an_exported_run_gives_the_same_results() {
    let home = trained_home();
    let here = home.path();
    let done =
        run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf", "--json"]).expect_success().json_output();
    assert_eq!(done["family"], "llama");
    run_kiln(here, &["export", "run", "--format", "gguf", "--out", "run.gguf"]).expect_success();
    run_kiln(here, &["export", "run", "--format", "gguf", "--out", "small.gguf", "--dtype", "q8_0"]).expect_success();
    let own = logits(here, "run");
    near(&own, &logits(here, "hf"), 1e-6);
    near(&own, &logits(here, "run.gguf"), 2e-3);
    near(&own, &logits(here, "small.gguf"), 3e-2);
    // Text goes in and out in the same way.
    let ids = |model: &str| {
        let args = ["generate", model, "--prompt", "Ann was", "--max-new-tokens", "8", "--temperature", "0", "--json"];
        run_kiln(here, &args).expect_success().json_output()["ids"].clone()
    };
    assert_eq!(ids("run"), ids("hf"));
    let tokens = |model: &str| {
        let args =
            ["tokenizer", "encode", model, "--text", "Ann was a doctor, naïvely.", "--no-special-tokens", "--json"];
        run_kiln(here, &args).expect_success().json_output()["ids"].clone()
    };
    assert_eq!(tokens("run"), tokens("hf"));
    assert_eq!(tokens("run"), tokens("run.gguf"));
    // Roles go with it, and flags that say nothing are refused.
    let said: Value = serde_json::from_str(&fs::read_to_string(here.join("hf/config.json")).unwrap()).unwrap();
    assert!(said["eos_token_id"].is_u64() && said["bos_token_id"].is_u64(), "{said}");
    let odd = run_kiln(here, &["export", "run", "--format", "gguf", "--out", "x.gguf", "--max-shard-size", "1"]);
    assert!(odd.exit_code == Some(2) && odd.stderr.contains("--max-shard-size"), "{odd:?}");
    let stored = run_kiln(here, &["inspect", "small.gguf", "--json"]).expect_success().json_output()["stored"].clone();
    assert_eq!((&stored[0]["stored"], &stored[0]["multiplied"]), (&"Q8_0".into(), &true.into()), "{stored}");
    let told = run_kiln(here, &["inspect", "small.gguf"]).expect_success().stdout;
    assert!(told.contains("tensors Q8_0") && told.contains("multiplied as stored on a CPU"), "{told}");
    assert_eq!(
        run_kiln(here, &["inspect", "run", "--json"]).expect_success().json_output()["stored"],
        serde_json::json!([])
    );
    // What came from a file goes back into one.
    run_kiln(here, &["export", "run.gguf", "--format", "hf", "--out", "back"]).expect_success();
    near(&logits(here, "run.gguf"), &logits(here, "back"), 1e-6);
}

#[test]
fn every_command_accepts_hugging_face_folders() {
    let home = trained_home();
    let here = home.path();
    run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    let eval = run_kiln(here, &["eval", "hf", "--data", "text.txt", "--json"]).expect_success().json_output();
    assert!(eval["loss"].as_f64().unwrap() > 0.0 && eval["kind"] == "causal", "{eval}");
    let asked = run_kiln(here, &["eval", "hf"]);
    assert!(asked.exit_code == Some(2) && asked.stderr.contains("--data"), "{asked:?}");
    let inspect = run_kiln(here, &["inspect", "hf", "--json"]).expect_success().json_output();
    assert_eq!(
        inspect["parameters"],
        run_kiln(here, &["inspect", "run", "--json"]).expect_success().json_output()["parameters"]
    );
    run_kiln(here, &["inspect", "hf", "--text", "Ann was", "--out", "page.html"]).expect_success();
    let embed =
        run_kiln(here, &["embed", "hf", "--text", "Ann", "--text", "a kite", "--json"]).expect_success().json_output();
    assert_eq!(embed["shape"], serde_json::json!([2, 32]));
    let verify = run_kiln(here, &["verify", "hf", "--json"]).expect_success().json_output();
    assert_eq!((&verify["passed"], verify["checks"].as_array().unwrap().len()), (&true.into(), 13), "{verify}");
    assert_eq!((&verify["checks"][3]["applicable"], &verify["checks"][3]["passed"]), (&true.into(), &true.into()));
    // Without a template nothing is asked of one; one whose marks the tokenizer doesn't know fails.
    assert!(verify["checks"][10]["reason"].as_str().unwrap().contains("no chat template"), "{verify}");
    let failed = |template: &str| {
        fs::write(here.join("hf/chat_template.jinja"), template).unwrap();
        let done = run_kiln(here, &["verify", "hf", "--json"]);
        let json = done.json_output();
        let failed = json["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
        let failed: Vec<String> = failed.map(|check| check["name"].as_str().unwrap().into()).collect();
        assert_eq!(done.exit_code == Some(1), !failed.is_empty(), "{done:?}");
        (failed, json["checks"].as_array().unwrap().last().unwrap()["reason"].to_string())
    };
    let lines = "{% for m in messages %}{{ m.role }}:\n{{ m.content }}\n{% endfor %}";
    let asks = "{% if add_generation_prompt %}assistant:\n{% endif %}";
    let (found, goes_on) = failed(&format!("{lines}{asks}"));
    assert!(found.is_empty() && goes_on.contains("yes"), "{found:?} {goes_on}");
    let (found, goes_on) = failed(&format!("{{{{ messages | length }}}}{lines}{asks}"));
    assert!(found.is_empty() && goes_on.contains("no:"), "{found:?} {goes_on}");
    assert_eq!(failed(&format!("<|begin|>{lines}")).0, ["template special tokens are single"]);
    assert_eq!(failed("{{ messages[0].content }}").0, ["messages survive the template"]);
    assert_eq!(failed("{{ raise_exception('no') }}").0, ["chat template renders"]);
    fs::remove_file(here.join("hf/chat_template.jinja")).unwrap();
    let tune = [
        "train",
        "--from",
        "hf",
        "--data",
        "text.txt",
        "--steps",
        "3",
        "--out",
        "tuned",
        "--set",
        "stages.0.sequence_length=32",
        "--json",
    ];
    let tuned = run_kiln(here, &tune).expect_success().json_output();
    assert!(tuned["validation_loss"].as_f64().is_some_and(f64::is_finite), "{tuned}");
    // The base model is unchanged; the tuned model differs.
    assert_ne!(logits(here, "hf"), logits(here, "tuned"));
    run_kiln(here, &["export", "tuned", "--format", "hf", "--out", "merged"]).expect_success();
    near(&logits(here, "tuned"), &logits(here, "merged"), 1e-5);
}

#[test]
fn a_conversation_uses_the_chat_template() {
    let home = trained_home();
    let here = home.path();
    run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    let without = run_kiln(here, &["chat", "hf"]);
    assert!(without.exit_code == Some(1) && without.stderr.contains("template"), "{without:?}");
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";
    fs::write(here.join("hf/chat_template.jinja"), template).unwrap();
    let done = run_chat(here, &["hf", "--max-new-tokens", "5", "--json"], "Hello Ann\n\nAnd Ben?\n").expect_success();
    let json = done.json_output();
    let roles: Vec<&str> = json["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    // What the template is given is the conversation.
    fs::write(here.join("hf/chat_template.jinja"), "{{ raise_exception(messages[0].content) }}").unwrap();
    let done = run_chat(here, &["hf"], "Hello Ann\n");
    assert!(done.exit_code == Some(1) && done.stderr.contains("Hello Ann"), "{done:?}");
    let hot = run_kiln(here, &["chat", "hf", "--temperature", "-1"]);
    assert!(hot.exit_code == Some(2) && hot.stderr.contains("--temperature"), "{hot:?}");
}

#[test]
fn verify_reports_a_kernel_that_no_layer_uses_as_not_applicable() {
    let home = crate::common::tiny_home();
    let parts = "model.blocks.*.sublayers.0.parts=[\"gla\"]";
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "run", "--set", parts]).expect_success();
    let verify = run_kiln(home.path(), &["verify", "run", "--json"]).expect_success().json_output();
    let check = &verify["checks"][3];
    assert_eq!((&check["applicable"], &check["passed"]), (&false.into(), &Value::Null), "{verify}");
    assert!(check["reason"].as_str().unwrap().contains("no layer of the model uses"), "{verify}");
    assert_eq!(verify["passed"], true);
}

/// A conversation of these lines.
pub fn run_chat(here: &Path, args: &[&str], lines: &str) -> crate::common::CommandResult {
    let mut child = kiln_command(here, &[&["chat"], args].concat());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What ends before it has read them all says why.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    crate::common::CommandResult::from_output(child.wait_with_output().unwrap())
}

const TEMPLATE: &str = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

#[test]
fn a_conversation_reuses_the_prefix_cache() {
    let home = crate::common::tiny_home();
    let here = home.path();
    // Long enough for what it writes to be letters: bytes that make no character come back as other tokens.
    run_kiln(here, &["train", "tiny.toml", "--steps", "150", "--set", "stages.0.num_samples=0", "--out", "run"])
        .expect_success();
    let template = serde_json::json!({ "chat_template": TEMPLATE });
    fs::write(here.join("run/tokenizer_config.json"), template.to_string()).unwrap();
    let said = |more: &[&str]| {
        let lines = "Hello Ann\nAnd Ben?\nThe end\n";
        run_chat(here, &[&["run", "--max-new-tokens", "4", "--temperature", "0", "--json"], more].concat(), lines)
            .expect_success()
            .json_output()
    };
    let (kept, anew) = (said(&[]), said(&["--no-prefix-cache"]));
    assert_eq!(kept["messages"], anew["messages"]);
    let read = |json: &Value| {
        json["turns"].as_array().unwrap().iter().map(|t| t["read_before"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read(&anew), [0, 0, 0]);
    let tokens = |turn: usize| kept["turns"][turn]["tokens"].as_u64().unwrap();
    assert_eq!(read(&kept), [0, tokens(0) + 3, tokens(1) + 3], "{kept}");
}

/// A model that was trained on, from one in others' files that has a template and tokens that end its answers.
fn tuned(stop: &str) -> TempDir {
    let home = trained_home();
    let here = home.path();
    run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    fs::write(here.join("hf/chat_template.jinja"), TEMPLATE).unwrap();
    fs::write(here.join("hf/generation_config.json"), format!(r#"{{"eos_token_id": {stop}, "top_k": 7}}"#)).unwrap();
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    let tune = ["train", "--from", "hf", "--data", "text.txt", "--steps", "2", "--out", "tuned"];
    run_kiln(here, &[&tune[..], &["--set", "stages.0.sequence_length=32", "--set", "stages.0.num_samples=0"]].concat())
        .expect_success();
    home
}

#[test]
fn a_fine_tuned_run_keeps_the_chat_template() {
    let home = tuned("[2, 399]");
    let here = home.path();
    let json = run_chat(here, &["tuned", "--max-new-tokens", "5", "--json"], "Hello Ann\nAnd Ben?\n")
        .expect_success()
        .json_output();
    assert_eq!(json["messages"].as_array().unwrap().len(), 4);
    // From there it goes wherever the model goes.
    run_kiln(here, &["export", "tuned", "--format", "hf", "--out", "back"]).expect_success();
    run_kiln(here, &["export", "tuned", "--format", "gguf", "--out", "tuned.gguf"]).expect_success();
    run_kiln(here, &["export", "tuned.gguf", "--format", "hf", "--out", "again"]).expect_success();
    let file = |name: &str| fs::read_to_string(here.join(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&file(name)).unwrap();
    for folder in ["back", "again"] {
        assert_eq!(file(&format!("{folder}/chat_template.jinja")), TEMPLATE, "{folder}");
        assert_eq!(json(&format!("{folder}/tokenizer_config.json"))["eos_token"], "<eos>", "{folder}");
    }
    assert_eq!(json("back/generation_config.json"), serde_json::json!({ "eos_token_id": [2, 399], "top_k": 7 }));
    let bytes = fs::read(here.join("tuned.gguf")).unwrap();
    assert!(bytes.windows(15).any(|window| window == b"ggml.eot_token_"), "the other token that ends a text");
    // A run without them, such as one from before they were kept, is as it was.
    for name in ["tokenizer_config.json", "generation_config.json"] {
        fs::remove_file(here.join("tuned").join(name)).unwrap();
    }
    run_kiln(here, &["generate", "tuned", "--max-new-tokens", "1"]).expect_success();
    assert!(run_chat(here, &["tuned"], "Hello\n").stderr.contains("no chat template"));
}

#[test]
fn a_fine_tuned_run_keeps_the_stop_tokens() {
    let all: Vec<usize> = (0..400).collect();
    let home = tuned(&format!("{all:?}"));
    let ends = |model: &str| {
        let json = run_kiln(home.path(), &["generate", model, "--max-new-tokens", "3", "--json"])
            .expect_success()
            .json_output();
        json["stopped_by"] == "eos" && json["ids"] == serde_json::json!([])
    };
    assert!(ends("hf") && ends("tuned"));
    // Runs that start from runs keep them too.
    let more = [
        "train",
        "--from",
        "tuned",
        "--data",
        "text.txt",
        "--steps",
        "2",
        "--out",
        "more",
        "--set",
        "stages.0.sequence_length=32",
    ];
    run_kiln(home.path(), &more).expect_success();
    assert!(ends("more"));
    fs::remove_file(home.path().join("more/generation_config.json")).unwrap();
    assert!(!ends("more"), "a control");
}

#[test]
fn a_file_of_a_model_folder_stands_for_the_folder() {
    let home = trained_home();
    let here = home.path();
    run_kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    // As if it were too large for one file.
    crate::common::copy_files(&here.join("hf"), &here.join("parts"));
    let bytes = fs::read(here.join("hf/model.safetensors")).unwrap();
    let header = &bytes[8..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize];
    let names: Vec<String> =
        serde_json::from_slice::<Value>(header).unwrap().as_object().unwrap().keys().cloned().collect();
    let part = "model-00001-of-00001.safetensors";
    let map: Value = names.into_iter().filter(|name| name != "__metadata__").map(|name| (name, part)).collect();
    let index = serde_json::json!({ "weight_map": map });
    fs::write(here.join("parts/model.safetensors.index.json"), index.to_string()).unwrap();
    fs::rename(here.join("parts/model.safetensors"), here.join("parts").join(part)).unwrap();
    let own = logits(here, "run");
    for file in ["run/recipe.toml", "hf/model.safetensors", "hf/config.json", "parts/model.safetensors.index.json"] {
        near(&own, &logits(here, file), 1e-6);
    }
    let within = kiln_command(&here.join("hf"), &["logits", "config.json", "--ids", "7,300,12,299,1", "--json"]);
    near(
        &own,
        &crate::common::json_values(&crate::common::run_command(within).expect_success().json_output()["logits"]),
        1e-6,
    );
    // One of several weight files is not a model, and neither is a tokenizer.json.
    for file in [format!("parts/{part}"), "hf/tokenizer.json".into()] {
        let done = run_kiln(here, &["logits", &file, "--ids", "1"]);
        assert!(done.exit_code == Some(1) && done.stderr.contains(&file), "{done:?}");
        assert!(
            done.stderr.contains("not in GGUF format") && done.stderr.contains("a folder with a config.json"),
            "{done:?}"
        );
    }
}

#[test]
fn invalid_model_files_are_errors() {
    let home = trained_home();
    let here = home.path();
    fs::create_dir(here.join("odd")).unwrap();
    fs::write(here.join("odd/config.json"), r#"{"model_type": "lama"}"#).unwrap();
    fs::write(here.join("odd/model.safetensors"), [&2u64.to_le_bytes()[..], b"{}"].concat()).unwrap();
    fs::write(here.join("odd.gguf"), "GGUF and then nothing").unwrap();
    for (model, told) in [("odd", "llama"), ("odd.gguf", "odd.gguf"), ("none.gguf", "nothing")] {
        let done = run_kiln(here, &["logits", model, "--ids", "1"]);
        assert!(done.exit_code == Some(1) && done.stderr.contains(told), "{model}: {done:?}");
    }
    let odd = run_kiln(here, &["logits", "run", "--ids", "1,100000"]);
    assert!(odd.exit_code == Some(2) && odd.stderr.contains("100000"), "{odd:?}");
}
