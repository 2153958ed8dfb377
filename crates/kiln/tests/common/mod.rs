//! Runs the command as its users do.
#![allow(dead_code, reason = "each test file takes what it needs")]

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A recipe that is done in a blink.
pub const TINY: &str = r#"
name = "tiny"
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.03 } } }

[model]
hidden = 16
[[model.blocks]]
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["plain"] }]

[[stages]]
steps = 6
length = 32
rows = 2
validations = 2
samples = 1
sample_tokens = 8
checkpoints = 3
"#;

/// The same of a model that has a counterpart among others' families.
pub const LLAMA: &str = r#"
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

/// What a call left.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The object in the last line of standard output.
    pub fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_else(|| panic!("no result: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// This, if it went well.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// The keys of an object, sorted.
pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The command, to be run in `home`.
pub fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(home).args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn kiln(home: &Path, args: &[&str]) -> Done {
    Done::of(command(home, args).output().unwrap())
}

/// A text of so many megabytes, compressed to almost nothing: `big.txt.zst` in `home`.
pub fn big_text(home: &Path, megabytes: usize) {
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
pub fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), TINY).unwrap();
    home
}

/// The same with a finished run of it, in `run`.
pub fn trained() -> TempDir {
    let home = home();
    kiln(home.path(), &["train", "tiny.toml", "--out", "run"]).well();
    home
}

/// Everything that a run computed: weights and optimiser of its last checkpoint, and the losses.
pub fn computed(run: &Path) -> (Vec<Vec<u8>>, Vec<String>) {
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
