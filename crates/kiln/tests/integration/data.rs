//! Data files as other programs write them: formats, bad rows, and what is said about them.

use crate::common::{TINY_RECIPE, run_kiln, tiny_home, trained_home};
use serde_json::Value;
use std::{fs, io::Write, path::Path};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|i| serde_json::json!({ "text": format!("This is document number {i} about kites.") })).collect()
}

fn json_lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Bytes of text that `eval` reads, and its messages.
fn eval(home: &Path, args: &[&str]) -> (u64, String) {
    let done = run_kiln(home, &[&["eval", "run", "--json", "--data"], args].concat()).expect_success();
    (done.json_output()["bytes"].as_u64().unwrap(), done.stderr)
}

#[test]
fn every_name_and_arrangement_of_json_rows_gives_the_same_text() {
    let home = trained_home();
    let put = |name: &str, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();
    let lines = json_lines(&rows(5));
    put("ok.jsonl", lines.as_bytes());
    put("lines.json", lines.as_bytes());
    put("lines.json.gz", &gz(lines.as_bytes()));
    put("lines.ndjson", lines.as_bytes());
    put("lines.jsonlines", lines.as_bytes());
    put("lines.txt", lines.as_bytes());
    put("bom.jsonl", &[b"\xEF\xBB\xBF", lines.as_bytes()].concat());
    put("array.json", Value::from(rows(5)).to_string().as_bytes());
    put("array.json.gz", &gz(Value::from(rows(5)).to_string().as_bytes()));
    let table: String = rows(5).iter().map(|row| format!("{}\n", row["text"].as_str().unwrap())).collect();
    put("table.csv", format!("text\r\n{table}").as_bytes());
    for (name, format) in [
        ("ok.jsonl", "JSON lines"),
        ("lines.json", "JSON lines"),
        ("lines.json.gz", "JSON lines"),
        ("lines.ndjson", "JSON lines"),
        ("lines.jsonlines", "JSON lines"),
        ("lines.txt", "JSON lines"),
        ("bom.jsonl", "JSON lines"),
        ("array.json", "JSON array"),
        ("array.json.gz", "JSON array"),
        ("table.csv", "CSV"),
    ] {
        let (bytes, messages) = eval(home.path(), &[name]);
        assert_eq!(bytes, 190, "{name}");
        assert!(messages.contains(&format!("5 documents, field `text`, {format}\n")), "{name}: {messages}");
    }
}

#[test]
fn a_byte_order_mark_counts_for_no_byte() {
    let home = trained_home();
    fs::write(home.path().join("bom.txt"), b"\xEF\xBB\xBFA text after the mark.").unwrap();
    assert_eq!(eval(home.path(), &["bom.txt"]).0, 22);
}

#[test]
fn a_nul_character_is_text_and_ends_no_file() {
    let home = trained_home();
    let mut texts = rows(50);
    texts[3]["text"] = "A row with a NUL \0 inside.".into();
    fs::create_dir(home.path().join("nul")).unwrap();
    fs::write(home.path().join("nul/a.jsonl"), json_lines(&texts)).unwrap();
    fs::write(home.path().join("nul/b.txt"), "A second file.").unwrap();
    let size = |row: &Value| row["text"].as_str().unwrap().len() as u64;
    let (bytes, messages) = eval(home.path(), &["nul"]);
    assert_eq!(bytes, texts.iter().map(size).sum::<u64>() + 14);
    assert!(messages.contains("51 documents: 50 JSON lines (field `text`), 1 plain text\n"), "{messages}");
}

#[test]
fn bad_rows_end_a_command_unless_they_are_left_out() {
    let home = trained_home();
    let mut lines = json_lines(&rows(30));
    lines.insert_str(0, "{\"text\": \"NaN beside it\", \"score\": NaN}\n{\"text\": null}\n{\"text\": \"\\ud83d\"}\n");
    fs::write(home.path().join("bad.jsonl"), lines).unwrap();
    for (output, args) in [
        ("none", &["eval", "run", "--data", "bad.jsonl", "--json"][..]),
        ("new", &["train", "tiny.toml", "--data", "bad.jsonl", "--out", "new", "--json"]),
        ("t.json", &["tokenizer", "train", "bad.jsonl", "--out", "t.json", "--json"]),
    ] {
        let done = run_kiln(home.path(), args);
        let error = &done.json_output()["error"];
        assert_eq!((done.exit_code, error["kind"].as_str()), (Some(1), Some("bad-rows")), "{args:?}: {done:?}");
        for part in ["2 bad rows", "bad.jsonl:2: field `text` is null", "bad.jsonl:3: ", "--skip-bad-rows"] {
            assert!(done.stderr.contains(part), "`{part}`: {}", done.stderr);
        }
        assert!(!home.path().join(output).exists(), "{output}");
        let done = run_kiln(home.path(), &[args, &["--skip-bad-rows"]].concat()).expect_success();
        assert!(done.stderr.contains("31 documents, field `text`, JSON lines\n"), "{}", done.stderr);
        assert!(done.stderr.contains("skipped 2 bad rows:\n  "), "{}", done.stderr);
        assert_eq!(done.stderr.matches("skipped 2 bad rows").count(), 1, "{}", done.stderr);
    }
    // The choice is saved with the run, so that a resumed run reads the same text.
    let recipe = fs::read_to_string(home.path().join("new/recipe.toml")).unwrap();
    assert!(recipe.contains("skip_bad_rows = true"), "{recipe}");
    let again = run_kiln(home.path(), &["train", "--resume", "new"]).expect_success();
    assert!(again.stderr.contains("nothing to do") || again.stdout.contains("nothing to do"), "{again:?}");
}

#[test]
fn the_recipe_can_leave_out_bad_rows() {
    let home = tiny_home();
    fs::write(home.path().join("bad.jsonl"), json_lines(&rows(30)) + "{\"text\": null}\n").unwrap();
    let source = "data = { source = { files = { paths = [\"bad.jsonl\"], skip_bad_rows = true } } }";
    let recipe = TINY_RECIPE.replace("data = { source = { stories = { megabytes = 0.03 } } }", source);
    fs::write(home.path().join("skip.toml"), recipe).unwrap();
    let done = run_kiln(home.path(), &["train", "skip.toml", "--out", "run"]).expect_success();
    assert!(done.stderr.contains("skipped 1 bad row:\n"), "{}", done.stderr);
    let refused = run_kiln(home.path(), &["train", "tiny.toml", "--skip-bad-rows"]);
    assert!(refused.exit_code == Some(2) && refused.stderr.contains("--skip-bad-rows"), "{refused:?}");
}

#[test]
fn a_bad_row_that_is_found_late_removes_a_run_without_checkpoint() {
    let home = tiny_home();
    let lines = json_lines(&rows(1500)) + "{\"text\": null}\n";
    fs::write(home.path().join("late.jsonl"), lines).unwrap();
    fs::create_dir(home.path().join("mine")).unwrap();
    for out in ["new", "mine"] {
        let done = run_kiln(home.path(), &["train", "tiny.toml", "--data", "late.jsonl", "--out", out]);
        assert_eq!(done.exit_code, Some(1), "{done:?}");
        assert!(done.stderr.contains("late.jsonl:1501: field `text` is null"), "{}", done.stderr);
        assert!(done.stderr.contains(&format!("removed {out}")), "{}", done.stderr);
    }
    assert!(!home.path().join("new").exists());
    assert_eq!(fs::read_dir(home.path().join("mine")).unwrap().count(), 0, "a folder of the user stays, empty");
}

#[test]
fn a_bad_row_in_the_second_stage_leaves_the_checkpoints_of_the_first() {
    let home = tiny_home();
    fs::write(home.path().join("late.jsonl"), json_lines(&rows(1500)) + "{\"text\": null}\n").unwrap();
    let second = "[[stages]]\nname = \"second\"\nsteps = 2\nsequence_length = 32\nbatch_size = 2\nnum_samples = 0\n\
                  data = { source = { files = { paths = [\"late.jsonl\"] } } }\n";
    fs::write(home.path().join("two.toml"), format!("{TINY_RECIPE}{second}")).unwrap();
    let done = run_kiln(home.path(), &["train", "two.toml", "--out", "run"]);
    assert!(done.exit_code == Some(1) && done.stderr.contains("late.jsonl:1501"), "{done:?}");
    assert!(home.path().join("run/stages/0-pretrain/checkpoints/step-000006/model.safetensors").is_file());
}

#[test]
fn the_field_is_checked_before_the_model_is_read() {
    let home = tiny_home();
    fs::write(home.path().join("a.jsonl"), "{\"messages\": []}\n").unwrap();
    fs::write(home.path().join("a.csv"), "id,body\n1,text\n").unwrap();
    // The model has a configuration and no weights: loading it would be another error.
    fs::create_dir(home.path().join("model")).unwrap();
    let config = crate::common::fixtures_dir().join("hf/llama-biases/config.json");
    fs::copy(config, home.path().join("model/config.json")).unwrap();
    for (data, kind, part) in
        [("a.jsonl", "conversations", "found `messages`"), ("a.csv", "json-field", "found `id`, `body`")]
    {
        for args in
            [&["eval", "model", "--data", data, "--json"][..], &["train", "tiny.toml", "--data", data, "--json"]]
        {
            let done = run_kiln(home.path(), args);
            assert_eq!(done.json_output()["error"]["kind"], kind, "{done:?}");
            assert!(done.stderr.contains(part), "{}", done.stderr);
        }
    }
    assert!(!home.path().join("runs").exists());
}
