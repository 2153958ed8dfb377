//! Training data of several fields: inspection, mixtures that are killed and resumed, and what is refused before a run.

use crate::common::{CommandResult, kiln_command, run_kiln, run_results, tiny_home};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

fn write_rows(path: &Path, rows: impl IntoIterator<Item = Value>) {
    fs::write(path, rows.into_iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
}

fn chats(count: usize) -> impl Iterator<Item = Value> {
    let turn = |role: &str, content: String| json!({"role": role, "content": content});
    (0..count).map(move |i| json!({"messages": [turn("user", format!("Q{i}?")), turn("assistant", format!("A{i}."))]}))
}

#[test]
fn inspection_shows_format_lengths_and_what_is_trained() {
    let home = tiny_home();
    let silent = json!({"messages": [{"role": "user", "content": "Hello?"}]});
    let broken = json!({"messages": [{"content": "Hello?"}]});
    write_rows(&home.path().join("chats.jsonl"), chats(20).chain([silent, broken]));
    let done = run_kiln(home.path(), &["data", "inspect", "chats.jsonl", "--sequence-length", "68"]).expect_success();
    assert!(
        done.stderr.contains("chats.jsonl: format messages, recognized by the fields `messages`"),
        "{}",
        done.stderr
    );
    for part in [
        "20 conversations",
        "21 examples, format messages, JSON lines",
        "trained tokens are in [[…]]",
        "<|im_start|>assistant\n[[A0.<|im_end|>]]",
        "chats.jsonl:22: message 1 has no `role`",
        "chats.jsonl:21: nothing to train on",
        "10 longer than a row of 68 tokens",
        "│██████████████████████████████████████████████████ 10",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    let json = run_kiln(home.path(), &["data", "inspect", "chats.jsonl", "--json"]).expect_success().json_output();
    assert_eq!((&json["format"], &json["examples"]), (&json!("messages"), &json!(20)));
    assert_eq!(json["left_out"], json!({"bad_rows": 1, "without_answer": 1, "too_long": null}));
    assert_eq!(json["samples"][0]["sequences"][0]["pieces"][1], json!({"text": "A0.<|im_end|>", "trained": true}));
    let named = run_kiln(home.path(), &["data", "inspect", "chats.jsonl", "--format", "pairs", "--json"]);
    assert_eq!(named.json_output()["error"]["kind"], "no-examples");
}

/// A mixture of two formats, for 30 steps of one stage.
fn mixture(home: &Path) {
    write_rows(&home.join("chats.jsonl"), chats(40));
    write_rows(&home.join("alpaca.jsonl"), (0..20).map(|i| json!({"instruction": format!("Do {i}"), "output": "Ok."})));
    let recipe = fs::read_to_string(home.join("tiny.toml")).unwrap();
    let data = "data = { template = \"chatml\", validation = 0.2, sources = [\n\
        \x20   { source = { files = { paths = [\"chats.jsonl\"] } }, weight = 3 },\n\
        \x20   { source = { files = { paths = [\"alpaca.jsonl\"] } }, weight = 1 },\n] }";
    let recipe = recipe.replace("data = { source = { stories = { megabytes = 0.03 } } }", data);
    let recipe =
        recipe.replace("steps = 6\nsequence_length = 32", "objective = \"chat\"\nsteps = 30\nsequence_length = 200");
    fs::write(home.join("mixture.toml"), recipe).unwrap();
}

#[test]
fn a_mixture_that_is_killed_resumes_bit_identically() {
    let home = tiny_home();
    mixture(home.path());
    let done = run_kiln(home.path(), &["train", "mixture.toml", "--out", "undisturbed"]).expect_success();
    assert!(done.stderr.contains("alpaca.jsonl: format instruction, recognized by the fields"), "{}", done.stderr);
    let saved = fs::read_to_string(home.path().join("undisturbed/recipe.toml")).unwrap();
    assert!(saved.contains("format = \"messages\"") && saved.contains("format = \"instruction\""), "{saved}");
    let template = fs::read_to_string(home.path().join("undisturbed/tokenizer_config.json")).unwrap();
    assert!(template.contains("<|im_start|>"));
    let mut command = kiln_command(home.path(), &["train", "mixture.toml", "--out", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("checkpoint saved at step 8")));
    child.kill().unwrap();
    CommandResult::from_output(child.wait_with_output().unwrap());
    run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    assert_eq!(run_results(&home.path().join("run")), run_results(&home.path().join("undisturbed")));
}

#[test]
fn data_that_do_not_fit_are_refused_before_the_run() {
    let home = tiny_home();
    mixture(home.path());
    write_rows(&home.path().join("texts.jsonl"), (0..30).map(|i| json!({"text": format!("text {i}")})));
    write_rows(&home.path().join("pairless.jsonl"), [json!({"prompt": "q", "chosen": "a", "rejected": null})]);
    let both = json!({"messages": [{"role": "user", "content": "a"}], "text": "a"});
    write_rows(&home.path().join("both.jsonl"), [both]);
    let strange = json!({"messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": "a"}]});
    write_rows(&home.path().join("strange.jsonl"), chats(3).chain([strange]));
    let cases: [(&[&str], &str, &str); 8] = [
        (&["--data", "texts.jsonl"], "wrong-kind", "reads conversations"),
        (&["--set", "data.sources.0.weight=0"], "config", "data.sources.weight"),
        (&["--data", "both.jsonl"], "ambiguous-format", "messages, text"),
        (&["--data", "pairless.jsonl"], "wrong-kind", "preferences"),
        (&["--data", "pairless.jsonl", "--set", "data.format=preference"], "wrong-kind", "preferences"),
        (&["--data", "strange.jsonl"], "bad-example", "strange.jsonl:4: message 1 has a `content` that is a number"),
        (&["--data", "chats.jsonl", "--set", "data.template=missing.jinja"], "missing", "missing.jinja"),
        (
            &["--data", "chats.jsonl", "--set", "stages.0.sequence_length=20"],
            "no-examples",
            "longer than a row of 20 tokens",
        ),
    ];
    for (args, kind, part) in cases {
        let done = run_kiln(home.path(), &[&["train", "mixture.toml", "--json"][..], args].concat());
        assert_eq!(done.json_output()["error"]["kind"], kind, "{args:?}: {done:?}");
        assert!(done.stderr.contains(part), "{args:?}: {}", done.stderr);
        let runs = fs::read_dir(home.path().join("runs")).map_or(0, |runs| runs.count());
        assert_eq!(runs, 0, "{args:?}");
    }
}
