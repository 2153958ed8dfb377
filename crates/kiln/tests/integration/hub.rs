//! Hugging Face ids where a command takes a model: downloaded once, then read from the cache; errors if the hub fails.

use crate::common::{CommandResult, kiln_command, run_command, write_word_model};
use kiln_pretrained::hub::test_server::{ServedModel, TestServer};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// A hub with a small Llama, and where its users are.
struct FakeHub {
    server: TestServer,
    home: TempDir,
}

/// Where nobody answers.
const NOBODY: &str = "http://127.0.0.1:9";
const SPECIAL: [(u64, &str); 3] = [(0, "<unk>"), (1, "<s>"), (2, "</s>")];

fn start_hub(token: Option<&str>) -> FakeHub {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("there");
    write_word_model("hf/llama-biases", &folder, &SPECIAL, "<s> A");
    fs::write(folder.join("chat_template.jinja"), "{{ messages[0].content }}").unwrap();
    fs::copy(crate::common::crate_path("kiln-pretrained/tests/fixtures/tiny-llama.gguf"), folder.join("tiny.gguf"))
        .unwrap();
    let file =
        |path: &std::path::PathBuf| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(path).unwrap());
    let files = crate::common::list_files(&folder).iter().map(file).collect();
    fs::write(home.path().join("text.txt"), "w7 w8 w9 w10 w7 w8 w9 w11 ".repeat(400)).unwrap();
    FakeHub {
        server: TestServer::start(ServedModel { files, token: token.map(Into::into), ..ServedModel::default() }),
        home,
    }
}

impl FakeHub {
    fn run(&self, args: &[&str], set: &[(&str, &str)]) -> CommandResult {
        let mut command = kiln_command(self.home.path(), &[args, &["--json"]].concat());
        let others = ["HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"];
        for name in others.iter().chain(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]) {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.server.url).env("HF_HOME", self.home.path().join("cache"));
        command.envs(set.iter().copied());
        run_command(command)
    }

    /// Files that were sent, and how often anything was asked.
    fn requests(&self) -> (Vec<String>, usize) {
        let log = self.server.requests();
        let sent = log.iter().filter(|(method, path, _)| method == "GET" && !path.contains("/api/"));
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        // What a server of large files sends was asked of the hub before.
        let sent = sent.filter(|(_, path, _)| !path.starts_with("/storage/")).map(|(_, path, _)| name(path));
        (sent.collect(), log.len())
    }

    fn error(&self, args: &[&str], set: &[(&str, &str)]) -> String {
        let done = self.run(args, set);
        assert_eq!(done.exit_code, Some(1), "{done:?}");
        let error = done.json_output()["error"].take();
        assert_eq!(error["kind"], "hub", "{error}");
        error["message"].as_str().unwrap().into()
    }
}

const GENERATE: [&str; 8] =
    ["generate", "owner/model", "--prompt", "w7 w8", "--max-new-tokens", "6", "--temperature", "0"];
const TRAIN: [&str; 11] = [
    "train",
    "--from",
    "owner/model",
    "--data",
    "text.txt",
    "--steps",
    "2",
    "--set",
    "stages.0.sequence_length=16",
    "--out",
    "run",
];

#[test]
fn a_hub_model_is_downloaded_once_and_used_offline() {
    let place = start_hub(None);
    let ids = |done: CommandResult| done.expect_success().json_output()["ids"].take();
    let written = ids(place.run(&GENERATE, &[]));
    let (mut sent, asked) = place.requests();
    sent.sort();
    assert_eq!(sent, ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]);
    let local = ["generate", "there", "--prompt", "w7 w8", "--max-new-tokens", "6", "--temperature", "0"];
    assert_eq!(ids(place.run(&local, &[])), written);
    // Every other command finds it there; the hub is asked for its list alone.
    let inspect = place.run(&["inspect", "owner/model"], &[]).expect_success().json_output();
    assert!(inspect["parameters"].as_u64().unwrap() > 0, "{inspect}");
    place.run(&TRAIN, &[]).expect_success();
    assert_eq!(place.requests(), (place.requests().0, asked + 2));
    assert_eq!(place.requests().0.len(), 4);
    // Without the hub all goes on as before.
    let offline = [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", NOBODY)];
    for set in [&offline[..], &offline[1..]] {
        assert_eq!(ids(place.run(&GENERATE, set)), written);
        assert_eq!(place.run(&["inspect", "owner/model"], set).expect_success().json_output(), inspect);
    }
    place.run(&[&TRAIN[..10], &["again"]].concat(), &offline).expect_success();
    assert_eq!(place.requests().1, asked + 2);
    // A run keeps where the model lies, not what it is called on the hub.
    let recipe = fs::read_to_string(place.home.path().join("run/recipe.toml")).unwrap();
    let from = recipe.lines().find(|line| line.starts_with("from")).unwrap();
    assert!(from.contains("snapshots") && !from.contains("owner/model"), "{from}");
    place.run(&["generate", "run", "--prompt", "w7", "--max-new-tokens", "2"], &offline).expect_success();
    place.run(&["train", "--resume", "run"], &offline).expect_success();
}

#[test]
fn single_files_and_tokenizers_are_downloaded_alone() {
    let place = start_hub(None);
    let encode = ["tokenizer", "encode", "owner/model", "--text", "w7 w8"];
    let ids = |done: CommandResult| done.expect_success().json_output()["ids"].take();
    assert_eq!(ids(place.run(&encode, &[])), serde_json::json!([1, 7, 8]));
    assert_eq!(place.requests().0, ["config.json", "tokenizer.json"]);
    assert_eq!(ids(place.run(&encode, &[("HF_HUB_OFFLINE", "1")])), serde_json::json!([1, 7, 8]));
    let error = place.error(&GENERATE, &[("HF_HUB_OFFLINE", "1")]);
    assert!(error.contains("not fully cached") && error.contains("HF_HUB_OFFLINE"), "{error}");
    let inspect = place.run(&["inspect", "owner/model:tiny.gguf"], &[]).expect_success().json_output();
    assert!(inspect["parameters"].as_u64().unwrap() > 0, "{inspect}");
    assert_eq!(place.requests().0, ["config.json", "tokenizer.json", "tiny.gguf"]);
    let logits = |model: &str| place.run(&["logits", model, "--ids", "7,8"], &[]).expect_success().json_output();
    assert_eq!(logits("owner/model:tiny.gguf"), logits("there/tiny.gguf"));
}

#[test]
fn missing_hub_models_are_errors_with_the_status() {
    let place = start_hub(None);
    let before = crate::common::list_files(place.home.path());
    let error = place.error(&["generate", "owner/other"], &[]);
    assert!(error.contains("owner/other") && error.contains("status 404"), "{error}");
    let error = place.error(&["inspect", "owner/model:other.gguf"], &[]);
    assert!(error.contains("other.gguf") && error.contains("owner/model"), "{error}");
    let train = [&TRAIN[..2], &["owner/other"], &TRAIN[3..]].concat();
    assert!(place.error(&train, &[]).contains("status 404"));
    let error = place.error(&GENERATE, &[("HF_ENDPOINT", NOBODY)]);
    assert!(error.contains(NOBODY) && error.contains("HF_ENDPOINT"), "{error}");
    assert_eq!(crate::common::list_files(place.home.path()), before, "nothing is written");
}

#[test]
fn the_access_token_is_sent_to_the_hub_only() {
    let place = start_hub(Some("secret"));
    let error = place.error(&GENERATE, &[]);
    assert!(error.contains("status 401") && error.contains("HF_TOKEN"), "{error}");
    assert!(place.error(&GENERATE, &[("HF_TOKEN", "wrong")]).contains("status 401"));
    place.run(&GENERATE, &[("HF_TOKEN", "secret")]).expect_success();
    let log = place.server.requests();
    let mut large = 0;
    for (_, path, token) in &log[2..] {
        large += usize::from(path.starts_with("/storage/"));
        assert_eq!(*token, !path.starts_with("/storage/"), "{path}");
    }
    assert!(large > 0, "{log:?}");
    // Kept in the folder of the cache, it needs no variable.
    fs::write(place.home.path().join("cache/token"), "secret\n").unwrap();
    fs::remove_dir_all(place.home.path().join("cache/hub")).unwrap();
    let json: Value = place.run(&GENERATE, &[]).expect_success().json_output();
    assert!(json["ids"].is_array(), "{json}");
}
