//! Models in others' files, by every command that takes a model: a run that is exported answers as before.

mod common;

use common::{apart, command, kiln};
use serde_json::Value;
use std::{fs, io::Write, path::Path, process::Stdio};
use tempfile::TempDir;

fn trained() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), common::LLAMA).unwrap();
    kiln(home.path(), &["train", "tiny.toml", "--out", "run"]).well();
    home
}

fn logits(home: &Path, model: &str) -> Vec<f64> {
    let json = kiln(home, &["logits", model, "--ids", "7,300,12,299,1", "--json"]).well().json();
    assert_eq!(json["shape"][0], 5);
    common::numbers(&json["logits"])
}

#[track_caller]
fn near(a: &[f64], b: &[f64], most: f64) {
    assert!(apart(a, b) <= most, "{}", apart(a, b));
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
    let stored = kiln(here, &["inspect", "small.gguf", "--json"]).well().json()["stored"].clone();
    assert_eq!((&stored[0]["stored"], &stored[0]["multiplied"]), (&"Q8_0".into(), &true.into()), "{stored}");
    let told = kiln(here, &["inspect", "small.gguf"]).well().out;
    assert!(told.contains("tensors Q8_0") && told.contains("multiplied as they are"), "{told}");
    assert_eq!(kiln(here, &["inspect", "run", "--json"]).well().json()["stored"], serde_json::json!([]));
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
    assert_eq!((&verify["passed"], verify["checks"].as_array().unwrap().len()), (&true.into(), 11), "{verify}");
    // Without a template nothing is asked of one; one whose marks the tokenizer doesn't know fails.
    assert!(verify["checks"][10]["not_asked"].as_str().unwrap().contains("no chat template"), "{verify}");
    let failed = |template: &str| {
        fs::write(here.join("hf/chat_template.jinja"), template).unwrap();
        let done = kiln(here, &["verify", "hf", "--json"]);
        let json = done.json();
        let failed = json["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
        let failed: Vec<String> = failed.map(|check| check["name"].as_str().unwrap().into()).collect();
        assert_eq!(done.code == Some(1), !failed.is_empty(), "{done:?}");
        (failed, json["checks"].as_array().unwrap().last().unwrap()["not_asked"].to_string())
    };
    let lines = "{% for m in messages %}{{ m.role }}:\n{{ m.content }}\n{% endfor %}";
    let asks = "{% if add_generation_prompt %}assistant:\n{% endif %}";
    let (found, goes_on) = failed(&format!("{lines}{asks}"));
    assert!(found.is_empty() && goes_on.contains("yes"), "{found:?} {goes_on}");
    let (found, goes_on) = failed(&format!("{{{{ messages | length }}}}{lines}{asks}"));
    assert!(found.is_empty() && goes_on.contains("no:"), "{found:?} {goes_on}");
    assert_eq!(failed(&format!("<|begin|>{lines}")).0, ["its special tokens are single"]);
    assert_eq!(failed("{{ messages[0].content }}").0, ["its texts come back"]);
    assert_eq!(failed("{{ raise_exception('no') }}").0, ["template renders a conversation"]);
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
    let done = talk(here, &["hf", "--tokens", "5", "--json"], "Hello Ann\n\nAnd Ben?\n").well();
    let json = done.json();
    let roles: Vec<&str> = json["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    // What the template is given is the conversation.
    fs::write(here.join("hf/chat_template.jinja"), "{{ raise_exception(messages[0].content) }}").unwrap();
    let done = talk(here, &["hf"], "Hello Ann\n");
    assert!(done.code == Some(1) && done.err.contains("Hello Ann"), "{done:?}");
    let hot = kiln(here, &["chat", "hf", "--temperature", "-1"]);
    assert!(hot.code == Some(2) && hot.err.contains("--temperature"), "{hot:?}");
}

/// A conversation of these lines.
fn talk(here: &Path, args: &[&str], lines: &str) -> common::Done {
    let mut child = command(here, &[&["chat"], args].concat());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What ends before it has read them all says why.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    common::Done::of(child.wait_with_output().unwrap())
}

const TEMPLATE: &str = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

#[test]
fn a_conversation_goes_on_from_what_was_read_of_it() {
    let home = common::home();
    let here = home.path();
    // Long enough for what it writes to be letters: bytes that make no character come back as other tokens.
    kiln(here, &["train", "tiny.toml", "--steps", "150", "--set", "stages.0.samples=0", "--out", "run"]).well();
    let template = serde_json::json!({ "chat_template": TEMPLATE });
    fs::write(here.join("run/tokenizer_config.json"), template.to_string()).unwrap();
    let said = |more: &[&str]| {
        let lines = "Hello Ann\nAnd Ben?\nThe end\n";
        talk(here, &[&["run", "--tokens", "4", "--temperature", "0", "--json"], more].concat(), lines).well().json()
    };
    let (kept, anew) = (said(&[]), said(&["--anew"]));
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
    let home = trained();
    let here = home.path();
    kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).well();
    fs::write(here.join("hf/chat_template.jinja"), TEMPLATE).unwrap();
    fs::write(here.join("hf/generation_config.json"), format!(r#"{{"eos_token_id": {stop}, "top_k": 7}}"#)).unwrap();
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    let tune = ["train", "--from", "hf", "--data", "text.txt", "--steps", "2", "--out", "tuned"];
    kiln(here, &[&tune[..], &["--set", "stages.0.length=32", "--set", "stages.0.samples=0"]].concat()).well();
    home
}

#[test]
fn a_run_keeps_the_template_of_its_model() {
    let home = tuned("[2, 399]");
    let here = home.path();
    let json = talk(here, &["tuned", "--tokens", "5", "--json"], "Hello Ann\nAnd Ben?\n").well().json();
    assert_eq!(json["messages"].as_array().unwrap().len(), 4);
    // From there it goes wherever the model goes.
    kiln(here, &["export", "tuned", "--format", "hf", "--out", "back"]).well();
    kiln(here, &["export", "tuned", "--format", "gguf", "--out", "tuned.gguf"]).well();
    kiln(here, &["export", "tuned.gguf", "--format", "hf", "--out", "again"]).well();
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
    kiln(here, &["generate", "tuned", "--tokens", "1"]).well();
    assert!(talk(here, &["tuned"], "Hello\n").err.contains("no chat template"));
}

#[test]
fn a_run_keeps_the_tokens_that_end_an_answer() {
    let all: Vec<usize> = (0..400).collect();
    let home = tuned(&format!("{all:?}"));
    let ends = |model: &str| {
        let json = kiln(home.path(), &["generate", model, "--tokens", "3", "--json"]).well().json();
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
        "stages.0.length=32",
    ];
    kiln(home.path(), &more).well();
    assert!(ends("more"));
    fs::remove_file(home.path().join("more/generation_config.json")).unwrap();
    assert!(!ends("more"), "a control");
}

#[test]
fn a_file_of_a_folder_means_the_folder() {
    let home = trained();
    let here = home.path();
    kiln(here, &["export", "run", "--format", "hf", "--out", "hf"]).well();
    // As if it were too large for one file.
    common::copied(&here.join("hf"), &here.join("parts"));
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
    let within = command(&here.join("hf"), &["logits", "config.json", "--ids", "7,300,12,299,1", "--json"]);
    near(&own, &common::numbers(&common::done(within).well().json()["logits"]), 1e-6);
    // One of several files is not the model, nor is what stands beside it.
    for file in [format!("parts/{part}"), "hf/tokenizer.json".into()] {
        let done = kiln(here, &["logits", &file, "--ids", "1"]);
        assert!(done.code == Some(1) && done.err.contains(&file), "{done:?}");
        assert!(done.err.contains("no .gguf") && done.err.contains("a folder with a config.json"), "{done:?}");
    }
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
