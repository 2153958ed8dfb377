//! From a recipe to text: every subcommand on one tiny run.

use crate::common::{TINY_RECIPE, kiln_command, run_kiln, sorted_keys, tiny_home, trained_home};
use serde_json::Value;
use std::{fs, process::Stdio};

#[test]
fn train_writes_a_run_folder_and_prints_a_summary() {
    let home = tiny_home();
    let done = run_kiln(home.path(), &["train", "tiny.toml", "--json"]).expect_success();
    let json = done.json_output();
    let mut named = [
        "run",
        "steps",
        "tokens",
        "train_loss",
        "validation_loss",
        "floor",
        "accepted",
        "seconds",
        "tokens_per_second",
    ];
    named.sort_unstable();
    assert_eq!(sorted_keys(&json), named);
    assert_eq!((&json["run"], &json["steps"]), (&"runs/tiny".into(), &6.into()));
    assert!(json["validation_loss"].as_f64().unwrap() > json["floor"].as_f64().unwrap());
    assert_eq!(done.stdout.lines().count(), 1, "words for people go elsewhere");
    for name in ["recipe.toml", "tokenizer.json", "metrics.jsonl", "report.html"] {
        assert!(home.path().join("runs/tiny").join(name).is_file(), "{name}");
    }
    for told in ["step 1 of 6", "validation loss", "checkpoint saved at step 6", "above the floor"] {
        assert!(done.stderr.contains(told), "{told}: {}", done.stderr);
    }
    let again = run_kiln(home.path(), &["train", "tiny.toml", "--json"]).expect_success().json_output();
    assert_eq!(again["run"], "runs/tiny-2", "a run never takes the place of another");
    assert_eq!(again["validation_loss"], json["validation_loss"], "the same recipe gives the same model");
}

#[test]
fn steps_seed_and_set_change_the_recipe() {
    let home = tiny_home();
    let args = ["train", "tiny.toml", "--steps", "2", "--seed", "5", "--set", "model.hidden=8", "--threads", "1"];
    let done = run_kiln(home.path(), &args).expect_success();
    assert!(done.stdout.contains("training loss") && done.stdout.contains("runs/tiny"), "{}", done.stdout);
    let recipe = fs::read_to_string(home.path().join("runs/tiny/recipe.toml")).unwrap();
    for line in ["seed = 5", "hidden = 8", "steps = 2"] {
        assert!(recipe.lines().any(|found| found == line), "{line}: {recipe}");
    }
}

#[test]
fn generate_continues_the_prompt() {
    let home = trained_home();
    let args = ["generate", "run", "--prompt", "Ann was", "--max-new-tokens", "12", "--seed", "3"];
    let plain = run_kiln(home.path(), &args).expect_success();
    let json = run_kiln(home.path(), &[&args[..], &["--json"]].concat()).expect_success().json_output();
    let speeds = ["decode_tokens_per_second", "prefill_tokens_per_second", "tokens_per_second"];
    let mut keys = [&["ids", "prompt", "prompt_tokens", "stopped_by", "text"][..], &speeds].concat();
    keys.sort_unstable();
    assert_eq!(sorted_keys(&json), keys);
    assert_eq!(plain.stdout, format!("{}{}\n", json["prompt"].as_str().unwrap(), json["text"].as_str().unwrap()));
    assert_eq!(plain.stderr, "");
    assert_eq!((json["ids"].as_array().unwrap().len(), &json["stopped_by"]), (12, &"tokens".into()));
    let greedy = ["generate", "run", "--max-new-tokens", "6", "--temperature", "0", "--json"];
    let twice = [1, 2].map(|_| run_kiln(home.path(), &greedy).expect_success().json_output()["ids"].clone());
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn eval_uses_validation_text_or_given_text() {
    let home = trained_home();
    let validation = run_kiln(home.path(), &["eval", "run", "--json"]).expect_success().json_output();
    assert_eq!(
        sorted_keys(&validation),
        ["accuracy", "bits_per_byte", "bytes", "kind", "loss", "perplexity", "tokens"]
    );
    fs::write(home.path().join("one.txt"), "Ann was a doctor.").unwrap();
    let one = run_kiln(home.path(), &["eval", "run", "--data", "one.txt", "--json"]).expect_success().json_output();
    // All of the text, and the end of it; the beginning is given.
    assert_eq!((&one["bytes"], &one["tokens"], &one["kind"]), (&17.into(), &18.into(), &"causal".into()));
    let [loss, bits] = ["loss", "bits_per_byte"].map(|key| one[key].as_f64().unwrap());
    // The end is a special token: its loss counts in the mean, and not in the bits of the 17 bytes.
    let bits_with_end = loss * 18.0 / 17.0 / 2f64.ln();
    assert!(bits < bits_with_end && bits > bits_with_end - 1.5, "{bits} {bits_with_end}");
    let table = run_kiln(home.path(), &["eval", "run"]).expect_success().stdout;
    assert!(table.contains("perplexity") && table.contains("floor"), "{table}");
    let short =
        run_kiln(home.path(), &["eval", "run", "--sequence-length", "8", "--json"]).expect_success().json_output();
    // The same tokens, each from less before it.
    assert!(short["tokens"] == validation["tokens"] && short["loss"] != validation["loss"], "{short}");
}

#[test]
fn inspect_shows_model_and_tokenizer() {
    let home = trained_home();
    let json = run_kiln(home.path(), &["inspect", "run", "--json"]).expect_success().json_output();
    let modules = json["modules"].as_array().unwrap();
    let sum: u64 = modules.iter().map(|module| module["parameters"].as_u64().unwrap()).sum();
    assert_eq!(json["parameters"], sum);
    let text = run_kiln(home.path(), &["inspect", "run"]).expect_success().stdout;
    for told in ["attention", "FLOPs/token", "attention, training: ", "█▄··"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let coded = run_kiln(home.path(), &["tokenizer", "encode", "run", "--text", "Añn", "--json"])
        .expect_success()
        .json_output();
    assert_eq!(coded["offsets"], serde_json::json!([[0, 1], [1, 2], [2, 3], [3, 4]]));
    let ids: Vec<String> = coded["ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    let text = run_kiln(home.path(), &["tokenizer", "decode", "run", "--ids", &ids.join(","), "--json"])
        .expect_success()
        .json_output();
    assert_eq!(text["text"], "Añn");
    assert!(run_kiln(home.path(), &["tokenizer", "inspect", "run"]).expect_success().stdout.contains("297"));
}

#[test]
fn inspect_analyzes_a_text() {
    let home = trained_home();
    let done = run_kiln(home.path(), &["inspect", "run", "--text", "A <b>cat</b>", "--json"]).expect_success();
    let json = done.json_output();
    let tokens = json["tokens"].as_array().unwrap().len();
    assert_eq!((tokens, json["lens"].as_array().unwrap().len()), (13, 2));
    let maps = json["maps"].as_array().unwrap();
    assert_eq!((maps.len(), &maps[1]["layer"], &maps[1]["head"]), (2, &"blocks.0.attention".into(), &1.into()));
    assert!(maps.iter().all(|map| map["weights"].as_array().unwrap().len() == tokens * tokens));
    let page = fs::read_to_string(home.path().join("run/inspect.html")).unwrap();
    assert!(
        page.contains("&lt;b&gt;cat") && page.contains("blocks.0.attention") && done.stderr.contains("inspect.html")
    );
    let text =
        run_kiln(home.path(), &["inspect", "run", "--text", "A cat", "--out", "cat.html"]).expect_success().stdout;
    assert!(
        text.contains("prediction") && text.contains("previous") && home.path().join("cat.html").exists(),
        "{text}"
    );
}

#[test]
fn compare_lists_the_recipe_differences() {
    let home = trained_home();
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "wide", "--set", "model.hidden=32"]).expect_success();
    let done = run_kiln(home.path(), &["compare", "run", "wide", "--out", "both.html", "--json"]).expect_success();
    let json = done.json_output();
    let runs = json["runs"].as_array().unwrap();
    let keys = ["bits_per_byte", "differs", "parameters", "run", "seconds", "tokens_per_second", "validation_loss"];
    assert_eq!(sorted_keys(&runs[0]), keys);
    assert_eq!(runs.iter().map(|run| &run["differs"]["model.hidden"]).collect::<Vec<_>>(), ["16", "32"]);
    assert!(runs[1]["parameters"].as_u64() > runs[0]["parameters"].as_u64());
    let page = fs::read_to_string(home.path().join("both.html")).unwrap();
    assert!(page.contains("wide") && done.stderr.contains("both.html") && !page.contains("Loss by sequence length"));
    let longer = ["compare", "run", "wide", "--sequence-length", "96", "--sequence-length", "24", "--json"];
    let json = run_kiln(home.path(), &longer).expect_success().json_output();
    let lengths = json["runs"][1]["lengths"].as_array().unwrap();
    assert_eq!(lengths.iter().map(|at| at["length"].as_u64().unwrap()).collect::<Vec<_>>(), [24, 96]);
    assert!(lengths[0]["loss"] != lengths[1]["loss"], "{json}");
    assert!(fs::read_to_string(home.path().join("compare.html")).unwrap().contains("Loss by sequence length"));
}

#[test]
fn resuming_a_finished_run_does_nothing() {
    let home = trained_home();
    let done = run_kiln(home.path(), &["train", "--resume", "run", "--json"]).expect_success();
    assert!(done.stderr.contains("finished before"), "{}", done.stderr);
    assert_eq!(done.json_output()["steps"], 6);
}

#[test]
fn the_model_is_compared_with_compressors() {
    let home = tiny_home();
    let folder = home.path().join("texts");
    fs::create_dir(&folder).unwrap();
    for i in 0..40 {
        let text: String = (0..60).map(|j| format!("Line {j} of text {i} says {}.\n", i * j)).collect();
        fs::write(folder.join(format!("{i}.txt")), text).unwrap();
    }
    // One line and no end of it is text too.
    fs::write(folder.join("line.txt"), "word ".repeat(60_000)).unwrap();
    let json = run_kiln(home.path(), &["train", "tiny.toml", "--data", "texts", "--out", "run", "--json"])
        .expect_success()
        .json_output();
    assert_eq!((&json["floor"], &json["accepted"]), (&Value::Null, &Value::Null));
    let metrics = fs::read_to_string(home.path().join("run/metrics.jsonl")).unwrap();
    let rows: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let compared: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "compression").collect();
    assert_eq!(compared.len(), 1);
    let bits = |name: &str| compared[0][name].as_f64().unwrap();
    assert!(bits("xz") > 0.0 && bits("gzip") < bits("model_bits_per_byte"), "{compared:?}");
    assert!(fs::read_to_string(home.path().join("run/report.html")).unwrap().contains("zstd"));
    let again = run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    assert!(again.stdout.contains("gzip"), "{}", again.stdout);
    assert_eq!(fs::read_to_string(home.path().join("run/metrics.jsonl")).unwrap(), metrics);
}

#[test]
fn commands_without_a_run_print_results() {
    let home = tiny_home();
    let json = |args: &[&str]| run_kiln(home.path(), &[args, &["--json"]].concat()).expect_success().json_output();
    assert_eq!(json(&["devices"])["devices"][0]["device"], "flex");
    let variants = json(&["variants"]);
    let attention = variants["variants"].as_array().unwrap().iter().find(|card| card["name"] == "attention").unwrap();
    assert_eq!(
        sorted_keys(attention),
        ["causal", "example", "family", "kernel", "name", "paper", "refuses", "state", "time"]
    );
    let patterns = json(&["variants", "--family", "pattern"])["variants"].as_array().unwrap().clone();
    assert!(patterns.iter().all(|card| card["family"] == "pattern") && patterns.len() > 4, "{patterns:?}");
    let unknown = run_kiln(home.path(), &["variants", "--family", "patern"]);
    assert!(unknown.exit_code == Some(2) && unknown.stderr.contains("did you mean `pattern`?"), "{}", unknown.stderr);
    assert_eq!(json(&["recipe", "list"])["recipes"][0]["name"], "stories");
    let keys = json(&["recipe", "explain", "stages.0.schedule"]);
    assert_eq!(keys["keys"][0]["key"], "stages[].schedule");
    assert!(run_kiln(home.path(), &["recipe", "explain"]).expect_success().stdout.contains("Random seed of the run."));
    let shown = run_kiln(home.path(), &["recipe", "show", "tiny.toml", "--set", "seed=3"]).expect_success().stdout;
    assert!(shown.contains("seed = 3") && TINY_RECIPE.len() < shown.len(), "{shown}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(run_kiln(home.path(), &["completions", shell]).expect_success().stdout.contains("kiln"), "{shell}");
    }
}

#[test]
fn a_closed_output_is_not_an_error() {
    let home = trained_home();
    let mut child = kiln_command(home.path(), &["recipe", "explain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
