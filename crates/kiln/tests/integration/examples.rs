//! The programs in `examples/`, each run with a few steps.

use crate::common::{CommandResult, run_kiln};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// An example as Cargo built it: `cargo test` without `--test` builds the examples before it runs the tests.
fn example_path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_kiln")).with_file_name("examples");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: run cargo build --release --examples", path.display());
    path
}

/// The standard output of an example that ran in `folder`, with `input` on its standard input.
fn run_example_with_input(folder: &Path, name: &str, args: &[&str], input: &str) -> String {
    let mut command = Command::new(example_path(name));
    let command = command.args(args).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    CommandResult::from_output(child.wait_with_output().unwrap()).expect_success().stdout
}

fn run_example(folder: &Path, name: &str, args: &[&str]) -> String {
    run_example_with_input(folder, name, args, "")
}

#[test]
fn every_example_runs() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let trained = run_example(here, "train", &["2"]);
    assert!(trained.contains("Once upon a time") && here.join("runs/example/recipe.toml").is_file(), "{trained}");

    let losses = run_example(here, "objective", &["2"]);
    assert!(losses.starts_with("validation losses: ["), "{losses}");

    run_kiln(here, &["export", "runs/example", "--format", "hf", "--out", "hf"]).expect_success();
    let text = "The ferryman keeps a lantern. Mara reads the map by the window. ".repeat(200);
    fs::write(here.join("notes.txt"), text).unwrap();
    let tuned = run_example(here, "fine_tune", &["hf", "notes.txt", "2"]);
    assert!(tuned.starts_with("8 adapters in runs/fine-tuned"), "{tuned}");

    let encoded = run_example(here, "encoder", &["2"]);
    assert!(encoded.contains("Oscar") && encoded.contains("1.000"), "{encoded}");

    let table = run_example(here, "compare_attention", &["2"]);
    assert_eq!(table.lines().count(), 7, "{table}");

    let pairs = run_example(here, "story_preferences", &["3"]);
    let pairs: Vec<serde_json::Value> = pairs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(pairs.len() == 3 && pairs.iter().all(|pair| pair["chosen"] != pair["rejected"]), "{pairs:?}");

    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";
    fs::write(here.join("hf/chat_template.jinja"), template).unwrap();
    let replies = run_example_with_input(here, "chat", &["hf"], "Who is Ann?\nAnd Ben?\n");
    assert!(replies.lines().count() >= 2, "{replies}");
}

#[test]
fn every_example_is_listed_and_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut examples = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".rs")) else {
            continue;
        };
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 60, "{name} has {lines} lines");
        assert!(list.contains(&format!("]({name})")), "{name} is missing in examples/README.md");
        examples += 1;
    }
    assert_eq!(examples, list.matches(".rs)").count());
}
