//! Helpers that run the command line as users do.

use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A recipe that is done in a blink.
pub const TINY_RECIPE: &str = r#"
name = "tiny"
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.03 } } }

[model]
hidden = 16
[[model.blocks]]
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["mlp"] }]

[[stages]]
steps = 6
sequence_length = 32
batch_size = 2
eval_every = 0.5
num_samples = 1
sample_tokens = 8
checkpoint_every = 2
"#;

/// The same of a model that has a counterpart among others' families.
pub const LLAMA_RECIPE: &str = r#"
name = "tiny"
tokenizer = { bpe = { vocab = 400 } }
data = { source = { stories = { megabytes = 0.05 } } }

[model]
hidden = 32
norm = "rms"
head = { language = { tied = true } }
[[model.blocks]]
repeat = 2
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 4, kv_heads = 2 } } } }] }, { parts = ["gated_mlp"] }]

[[stages]]
steps = 6
sequence_length = 32
batch_size = 2
eval_every = 1.0
num_samples = 0
checkpoint_every = 1.0
"#;

/// What a call left.
#[derive(Debug)]
pub struct CommandResult {
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandResult {
    pub fn from_output(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { exit_code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The object in the last line of standard output.
    pub fn json_output(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("no result: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// This, if it went well.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert_eq!(self.exit_code, Some(0), "{self:?}");
        self
    }
}

/// The keys of an object, sorted.
pub fn sorted_keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The command, to be run in `home`.
pub fn kiln_command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(home).args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run_kiln(home: &Path, args: &[&str]) -> CommandResult {
    run_command(kiln_command(home, args))
}

/// Runs a command to its end.
pub fn run_command(mut command: Command) -> CommandResult {
    CommandResult::from_output(command.output().unwrap())
}

/// Files of a crate's beside this one.
pub fn crate_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What the reference code has written.
pub fn fixtures_dir() -> PathBuf {
    crate_path("kiln-laws/fixtures")
}

/// Numbers of a tensor of the reference's.
pub fn read_tensor(file: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entry = serde_json::from_slice::<Value>(&bytes[8..8 + header]).unwrap()[name].take();
    let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize + 8 + header;
    let data = &bytes[at(0)..at(1)];
    match entry["dtype"].as_str().unwrap() {
        "F32" => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        "I64" => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
        other => panic!("{other}"),
    }
}

/// A list of numbers.
pub fn json_values(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Largest difference, as a share of the largest number.
#[track_caller]
pub fn max_relative_diff(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// Copies the files of a folder.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Changes a key of a folder's `config.json`.
pub fn set_config_key(folder: &Path, key: &str, value: Value) {
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config[key] = value;
    fs::write(file, config.to_string()).unwrap();
}

/// A model of the reference's with a tokenizer whose words are `w7` and so on, by their ids; some are special, and some of
/// these stand around every text, `A`.
pub fn write_word_model(model: &str, folder: &Path, special: &[(u64, &str)], around: &str) {
    copy_files(&fixtures_dir().join(model), folder);
    let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let named = |id: u64| special.iter().find(|(special, _)| *special == id).map(|(_, name)| (*name).to_owned());
    let word = |id: u64| named(id).unwrap_or_else(|| format!("w{id}"));
    let vocab: Value = (0..config["vocab_size"].as_u64().unwrap()).map(|id| (word(id), id)).collect();
    let added = special.iter().map(|(id, name)| {
        json!({ "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
    });
    let piece = |piece: &str| match piece {
        "A" => json!({ "Sequence": { "id": "A", "type_id": 0 } }),
        name => json!({ "SpecialToken": { "id": name, "type_id": 0 } }),
    };
    let tokens: Value = (special.iter())
        .map(|(id, name)| ((*name).to_owned(), json!({ "id": name, "ids": [id], "tokens": [name] })))
        .collect();
    let single: Vec<Value> = around.split(' ').map(piece).collect();
    let pair = [single.clone(), vec![json!({ "Sequence": { "id": "B", "type_id": 0 } })]].concat();
    let template = json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens });
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": template, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": special[0].1 },
    });
    fs::write(folder.join("tokenizer.json"), file.to_string()).unwrap();
}

/// Everything below a folder.
pub fn list_files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let below: Vec<PathBuf> = found.iter().filter(|path| path.is_dir()).flat_map(|path| list_files(path)).collect();
    found.extend(below);
    found.sort();
    found
}

/// A text of so many megabytes, compressed to almost nothing: `big.txt.zst` in `home`.
pub fn write_big_text(home: &Path, megabytes: usize) {
    let mut file = zstd::Encoder::new(fs::File::create(home.join("big.txt.zst")).unwrap(), 1).unwrap();
    let mut day = String::new();
    for n in (0..).take_while(|n| n * 70 < 1_000_000) {
        day += &format!("Then {n} ducks swam to the mill, and Ann counted all {:08} of them there.\n", n * 7);
    }
    for number in 0..megabytes {
        file.write_all(format!("Day {number}.\n").as_bytes()).unwrap();
        file.write_all(day.as_bytes()).unwrap();
    }
    file.finish().unwrap();
}

/// A folder with the tiny recipe in it.
pub fn tiny_home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), TINY_RECIPE).unwrap();
    home
}

/// The same with a finished run of it, in `run`.
pub fn trained_home() -> TempDir {
    let home = tiny_home();
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "run"]).expect_success();
    home
}

/// Everything that a run computed: weights and optimizer of its last checkpoint, and the losses.
pub fn run_results(run: &Path) -> (Vec<Vec<u8>>, Vec<String>) {
    let checkpoints = run.join("stages/0-pretrain/checkpoints");
    let last: Value = serde_json::from_slice(&fs::read(checkpoints.join("last.json")).unwrap()).unwrap();
    let folder = checkpoints.join(format!("step-{:06}", last["step"].as_u64().unwrap()));
    let files = ["model.safetensors", "train.safetensors"].map(|name| fs::read(folder.join(name)).unwrap());
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let without_time = |mut row: Value| {
        row.as_object_mut().unwrap().remove("seconds");
        row.to_string()
    };
    (files.to_vec(), rows.filter(|row| row["kind"] != "event").map(without_time).collect())
}
