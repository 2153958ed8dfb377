//! Models in others' files, by every command that takes a model: a run that is exported answers as before.

mod common;

use common::{command, kiln};
use serde_json::Value;
use std::{fs, io::Write, path::Path, process::Stdio};
use tempfile::TempDir;

const RECIPE: &str = r#"
name = "tiny"
tokenizer = { bpe = { vocab = 400 } }
data = { source = { stories = { megabytes = 0.05 } } }

[model]
hidden = 32
norm = "rms"
head = { language = { tied = true } }
[[model.blocks]]
repeat = 2
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 4, kv_heads = 2 } } } }] }, { parts = ["gated"] }]

[[stages]]
steps = 6
length = 32
rows = 2
validations = 1
samples = 0
checkpoints = 1
"#;

fn trained() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), RECIPE).unwrap();
    kiln(home.path(), &["train", "tiny.toml", "--out", "run"]).well();
    home
}

fn numbers(json: &Value, key: &str) -> Vec<f64> {
    json[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn logits(home: &Path, model: &str) -> Vec<f64> {
    let json = kiln(home, &["logits", model, "--ids", "7,300,12,299,1", "--json"]).well().json();
    assert_eq!(json["shape"][0], 5);
    numbers(&json, "logits")
}

#[track_caller]
fn near(a: &[f64], b: &[f64], most: f64) {
    assert_eq!(a.len(), b.len());
    let size = a.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart <= most * size, "{apart} of {size}");
}

#[test]
fn an_exported_run_answers_as_before() {
    let home = trained();
    let here = home.path();
    let done = kiln(here, &["export", "run", "--format", "hf", "--out", "hf", "--json"]).well().json();
    assert_eq!(done["family"], "llama");
    kiln(here, &["export", "run", "--format", "gguf", "--out", "run.gguf"]).well();
    kiln(here, &["export", "run", "--format", "gguf", "--out", "small.gguf", "--numbers", "q8_0"]).well();
    let own = logits(here, "run");
    near(&own, &logits(here, "hf"), 1e-6);
    near(&own, &logits(here, "run.gguf"), 2e-3);
    near(&own, &logits(here, "small.gguf"), 3e-2);
    // Text goes in and out in the same way.
    let ids = |model: &str| {
        let args = ["generate", model, "--prompt", "Ann was", "--tokens", "8", "--temperature", "0", "--json"];
        kiln(here, &args).well().json()["ids"].clone()
    };
    assert_eq!(ids("run"), ids("hf"));
    let tokens = |model: &str| {
        let args = ["tokenizer", "encode", model, "--text", "Ann was a doctor, naïvely.", "--plain", "--json"];
        kiln(here, &args).well().json()["ids"].clone()
    };
    assert_eq!(tokens("run"), tokens("hf"));
    assert_eq!(tokens("run"), tokens("run.gguf"));
    // Roles go with it, and flags that say nothing are refused.
    let said: Value = serde_json::from_str(&fs::read_to_string(here.join("hf/config.json")).unwrap()).unwrap();
    assert!(said["eos_token_id"].is_u64() && said["bos_token_id"].is_u64(), "{said}");
    let odd = kiln(here, &["export", "run", "--format", "gguf", "--out", "x.gguf", "--shard", "1"]);
    assert!(odd.code == Some(2) && odd.err.contains("--shard"), "{odd:?}");
    // What came from a file goes back into one.
    kiln(here, &["export", "run.gguf", "--format", "hf", "--out", "back"]).well();
    near(&logits(here, "run.gguf"), &logits(here, "back"), 1e-6);
}

#[test]
fn every_command_takes_models_of_others() {
    let home = trained();
    let here = home.path();
    kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).well();
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    let eval = kiln(here, &["eval", "hf", "--data", "text.txt", "--json"]).well().json();
    assert!(eval["loss"].as_f64().unwrap() > 0.0 && eval["kind"] == "causal", "{eval}");
    let asked = kiln(here, &["eval", "hf"]);
    assert!(asked.code == Some(2) && asked.err.contains("--data"), "{asked:?}");
    let inspect = kiln(here, &["inspect", "hf", "--json"]).well().json();
    assert_eq!(inspect["parameters"], kiln(here, &["inspect", "run", "--json"]).well().json()["parameters"]);
    kiln(here, &["inspect", "hf", "--text", "Ann was", "--out", "page.html"]).well();
    let embed = kiln(here, &["embed", "hf", "--text", "Ann", "--text", "a kite", "--json"]).well().json();
    assert_eq!(embed["shape"], serde_json::json!([2, 32]));
    let verify = kiln(here, &["verify", "hf", "--json"]).well().json();
    assert_eq!((&verify["passed"], verify["checks"].as_array().unwrap().len()), (&true.into(), 5), "{verify}");
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
        "stages.0.length=32",
        "--json",
    ];
    let tuned = kiln(here, &tune).well().json();
    assert!(tuned["validation_loss"].as_f64().is_some_and(f64::is_finite), "{tuned}");
    // The base stays as it was; what is beside it has moved.
    assert_ne!(logits(here, "hf"), logits(here, "tuned"));
    kiln(here, &["export", "tuned", "--format", "hf", "--out", "merged"]).well();
    near(&logits(here, "tuned"), &logits(here, "merged"), 1e-5);
}

#[test]
fn a_conversation_follows_the_template() {
    let home = trained();
    let here = home.path();
    kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).well();
    let without = kiln(here, &["chat", "hf"]);
    assert!(without.code == Some(1) && without.err.contains("template"), "{without:?}");
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";
    fs::write(here.join("hf/chat_template.jinja"), template).unwrap();
    let mut child = command(here, &["chat", "hf", "--tokens", "5", "--json"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Hello Ann\n\nAnd Ben?\n").unwrap();
    let done = common::Done::of(child.wait_with_output().unwrap()).well();
    let json = done.json();
    let roles: Vec<&str> = json["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    // What the template is given is the conversation.
    fs::write(here.join("hf/chat_template.jinja"), "{{ raise_exception(messages[0].content) }}").unwrap();
    let mut child = command(here, &["chat", "hf"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Hello Ann\n").unwrap();
    let done = common::Done::of(child.wait_with_output().unwrap());
    assert!(done.code == Some(1) && done.err.contains("Hello Ann"), "{done:?}");
    let hot = kiln(here, &["chat", "hf", "--temperature", "-1"]);
    assert!(hot.code == Some(2) && hot.err.contains("--temperature"), "{hot:?}");
}

#[test]
fn what_is_no_model_is_said() {
    let home = trained();
    let here = home.path();
    fs::create_dir(here.join("odd")).unwrap();
    fs::write(here.join("odd/config.json"), r#"{"model_type": "lama"}"#).unwrap();
    fs::write(here.join("odd/model.safetensors"), [&2u64.to_le_bytes()[..], b"{}"].concat()).unwrap();
    fs::write(here.join("odd.gguf"), "GGUF and then nothing").unwrap();
    for (model, told) in [("odd", "llama"), ("odd.gguf", "odd.gguf"), ("none.gguf", "nothing")] {
        let done = kiln(here, &["logits", model, "--ids", "1"]);
        assert!(done.code == Some(1) && done.err.contains(told), "{model}: {done:?}");
    }
    let odd = kiln(here, &["logits", "run", "--ids", "1,100000"]);
    assert!(odd.code == Some(2) && odd.err.contains("100000"), "{odd:?}");
}
