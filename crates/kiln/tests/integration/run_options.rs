//! How a run is started, ended and used: flags, lengths, checkpoints, models to start from.

use crate::common::{run_kiln, sorted_keys, tiny_home, trained_home};
use serde_json::Value;
use std::{fs, path::Path};

fn saved_recipe(home: &Path, run: &str) -> String {
    fs::read_to_string(home.join(run).join("recipe.toml")).unwrap()
}

#[test]
fn flags_of_other_trainers_set_the_keys_of_the_stages() {
    let home = tiny_home();
    let flags = ["--epochs", "1", "--lr", "1e-2", "--batch-size", "4", "--sequence-length", "64", "--out", "run"];
    let done = run_kiln(home.path(), &[&["train", "tiny.toml"], &flags[..]].concat()).expect_success();
    let recipe = saved_recipe(home.path(), "run");
    for line in ["epochs = 1.0", "learning_rate = 0.01", "batch_size = 4", "sequence_length = 64"] {
        assert!(recipe.lines().any(|found| found == line), "{line}: {recipe}");
    }
    let steps = recipe.lines().find_map(|line| line.strip_prefix("steps = ")).unwrap();
    assert!(steps.parse::<u64>().unwrap() > 20, "30 kB of text in steps of 256 tokens: {steps}");
    assert!(done.stderr.contains(&format!("{steps} steps (1 epoch)")), "{}", done.stderr);
    let both = run_kiln(home.path(), &["train", "tiny.toml", "--steps", "2", "--epochs", "1"]);
    assert_eq!(both.exit_code, Some(2), "{both:?}");
    let resumed = run_kiln(home.path(), &["train", "--resume", "run", "--lr", "1"]);
    assert_eq!(resumed.exit_code, Some(2), "{resumed:?}");
}

#[test]
fn a_flag_that_does_not_exist_is_answered_with_the_one_that_does() {
    let home = trained_home();
    for (call, equivalent) in [
        ("train --weight-decay 0.1", "--set 'stages.*.optimizer.adamw.weight_decay=X'"),
        ("train tiny.toml --output_dir out", "--out RUN"),
        ("train --per_device_train_batch_size=8", "--batch-size N"),
        ("generate run --n-predict 3", "--max-new-tokens N"),
    ] {
        let args: Vec<&str> = call.split(' ').collect();
        let refused = run_kiln(home.path(), &args);
        assert_eq!(refused.exit_code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(&format!("help: use {equivalent}")), "{call}: {}", refused.stderr);
        let json = run_kiln(home.path(), &[&args[..], &["--json"]].concat()).json_output();
        assert_eq!(json["error"]["kind"], "usage");
    }
    let unknown = run_kiln(home.path(), &["train", "--banana"]);
    assert!(unknown.exit_code == Some(2) && unknown.stderr.contains("--banana"), "{unknown:?}");
}

#[test]
fn words_of_the_field_are_answered_with_the_names_here() {
    let home = tiny_home();
    for (set, expected) in [
        ("model.position=rope", "did you mean `rotary`?"),
        ("model.norm=rmsnorm", "did you mean `rms`?"),
        ("model.blocks.0.sublayers.1.parts=[\"moe\"]", "did you mean `experts`?"),
        ("model.blocks.0.sublayers.1.parts=[\"ffn\"]", "did you mean `mlp`?"),
        ("model.blocks.0.sublayers.1.parts=[\"swiglu\"]", "did you mean `gated_mlp`?"),
        ("model.blocks.0.sublayers.0.parts=[\"gqa\"]", "kv_heads = 2"),
        ("model.hidden_size=64", "did you mean `hidden`?"),
        ("stages.0.gradient_accumulation_steps=2", "did you mean `gradient_accumulation`?"),
        ("stages.0.schedule.cosine.lr=1e-3", "did you mean `learning_rate`?"),
        ("stages.0.objective=mlm", "did you mean `masked`?"),
    ] {
        let refused = run_kiln(home.path(), &["train", "tiny.toml", "--set", set]);
        assert!(refused.exit_code == Some(2) && refused.stderr.contains(expected), "{set}: {}", refused.stderr);
    }
    let explained = run_kiln(home.path(), &["recipe", "explain", "rope_theta"]);
    assert!(explained.stderr.contains("theta`?"), "{}", explained.stderr);
}

#[test]
fn a_checkpoint_of_a_run_is_a_model() {
    let home = tiny_home();
    let sets = ["--set", "stages.0.keep_checkpoints=9", "--set", "stages.0.schedule.cosine.learning_rate=0.05"];
    run_kiln(home.path(), &[&["train", "tiny.toml", "--out", "run"], &sets[..]].concat()).expect_success();
    let logits = |model: &str| {
        run_kiln(home.path(), &["logits", model, "--ids", "50,60", "--json"]).expect_success().json_output()
    };
    let [second, last] = ["run@2", "run@6"].map(logits);
    assert!(second["logits"] != last["logits"] && last["logits"] == logits("run@last")["logits"]);
    for args in [
        vec!["generate", "run@best", "--prompt", "A", "--max-new-tokens", "2"],
        vec!["tokenizer", "encode", "run@last", "--text", "A"],
        vec!["inspect", "run@2"],
        vec!["export", "run@4", "--format", "hf", "--out", "hf"],
    ] {
        let done = run_kiln(home.path(), &args);
        // The tiny model has no family: only its export is refused, after the model was found.
        assert!(
            done.exit_code == Some(0) || args[0] == "export" && !done.stderr.contains("run@4"),
            "{args:?} {done:?}"
        );
    }
    let unknown = run_kiln(home.path(), &["eval", "run@5", "--json"]);
    let error = &unknown.json_output()["error"];
    assert_eq!((unknown.exit_code, &error["kind"]), (Some(1), &"no-checkpoint".into()));
    assert!(error["message"].as_str().unwrap().contains("those of the steps 2, 4, 6"), "{error}");
}

#[test]
fn a_recipe_without_a_model_takes_that_of_its_origin() {
    let home = trained_home();
    let stage =
        "[[stages]]\nsteps = 2\nsequence_length = 32\nbatch_size = 2\nnum_samples = 0\nschedule = \"constant\"\n";
    let data = "data = { source = { stories = { megabytes = 0.03 } } }\n";
    for (name, from) in [("first", "run"), ("second", "run@4")] {
        fs::write(home.path().join("more.toml"), format!("from = \"{from}\"\n{data}{stage}")).unwrap();
        run_kiln(home.path(), &["train", "more.toml", "--out", name]).expect_success();
        let recipe = saved_recipe(home.path(), name);
        assert!(recipe.lines().any(|line| line == "hidden = 16"), "the model of the run: {recipe}");
        assert!(recipe.contains(&format!("{from}\"\n")), "{recipe}");
    }
    // A key of the model over that of the origin.
    let args = ["train", "more.toml", "--set", "model.dropout=0.1", "--out", "third"];
    run_kiln(home.path(), &args).expect_success();
    let recipe = saved_recipe(home.path(), "third");
    assert!(recipe.contains("hidden = 16\n") && recipe.contains("dropout = 0.1\n"), "{recipe}");
    let shown = run_kiln(home.path(), &["recipe", "show", "more.toml"]).expect_success().stdout;
    assert!(shown.contains("hidden = 16\n"), "{shown}");
}

#[test]
fn a_run_that_stops_early_says_why() {
    let home = tiny_home();
    let sets =
        ["stages.0.steps=50", "stages.0.eval_every=2", "stages.0.early_stopping={ patience = 2, min_delta = 9.0 }"];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["train", "tiny.toml", "--out", "run"].into_iter().chain(sets).collect();
    let done = run_kiln(home.path(), &args).expect_success();
    let reason = "stopped early: no better validation loss in 2 evaluations; best: ";
    assert!(done.stdout.contains(reason), "{}", done.stdout);
    assert!(fs::read_to_string(home.path().join("run/report.html")).unwrap().contains(reason));
    let again = run_kiln(home.path(), &["train", "--resume", "run", "--json"]).expect_success();
    assert_eq!(again.json_output()["steps"], 6, "the first evaluation is the best, two more follow");
    assert!(again.stderr.contains("finished before"), "{}", again.stderr);
}

/// As the recipe of a run that a program started with an objective of its own.
#[test]
fn an_objective_in_rust_is_named_wherever_it_is_missed() {
    let home = trained_home();
    let file = home.path().join("run/recipe.toml");
    let recipe = fs::read_to_string(&file).unwrap();
    let recipe = recipe.replace("[[stages]]\n", "[[stages]]\nexternal_objective = \"Goldfish\"\n");
    fs::write(&file, recipe).unwrap();
    let resumed = run_kiln(home.path(), &["train", "--resume", "run"]);
    assert_eq!(resumed.exit_code, Some(2), "{resumed:?}");
    for said in ["`Goldfish`", "found `full`", "recipe.toml", "stages[0].external_objective"] {
        assert!(resumed.stderr.contains(said), "{said}: {}", resumed.stderr);
    }
    let evaluated = run_kiln(home.path(), &["eval", "run"]).expect_success();
    assert!(evaluated.stderr.contains("the objective `Goldfish`"), "{}", evaluated.stderr);
}

#[test]
fn an_example_has_the_tokens_of_the_model_and_the_whole_document() {
    let home = trained_home();
    fs::write(home.path().join("a.txt"), "No such thing.").unwrap();
    fs::write(home.path().join("b.txt"), format!("What is two and two? Answer: {} four.", "well, ".repeat(20)))
        .unwrap();
    let set = ["--set", "split={ after = { text = \"Answer:\" } }"];
    let base = ["objective", "show", "prefix", "--model", "run", "--data", "a.txt", "--data", "b.txt"];
    let shown = run_kiln(home.path(), &[&base[..], &set, &["--json"]].concat()).expect_success().json_output();
    assert_eq!(sorted_keys(&shown), ["examples", "objective"]);
    let tokens = shown["examples"][0]["tokens"].as_array().unwrap();
    let text = fs::read_to_string(home.path().join("b.txt")).unwrap();
    assert_eq!(tokens.len(), text.len() + 2, "a byte a token, from the beginning to the end of the text");
    let is_target = |index: usize| !tokens[index]["asked"].is_null();
    let prefix = text.find("Answer:").unwrap() + "Answer:".len();
    assert!(!is_target(prefix - 1) && is_target(prefix), "the prefix ends with the text");
    let plain = run_kiln(home.path(), &[&base[..], &set].concat()).expect_success().stdout;
    assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    let missing = ["--set", "split={ after = { text = \"Antwort:\" } }", "--json"];
    let error = run_kiln(home.path(), &[&base[..], &missing].concat());
    assert_eq!(error.exit_code, Some(2), "{error:?}");
    let said = error.json_output()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("\"Antwort:\" occurs in none of the 2 documents"), "{said}");
}

/// What a person sees of a run on a terminal of 80 columns. A path is never broken.
#[test]
fn lines_fit_eighty_columns() {
    let home = tiny_home();
    let args = ["train", "tiny.toml", "--set", "stages.0.num_samples=2", "--set", "stages.0.sample_tokens=160"];
    let done = run_kiln(home.path(), &args).expect_success();
    let resumed = run_kiln(home.path(), &["train", "--resume", "runs/tiny"]).expect_success();
    let lists = [["recipe", "list"], ["recipe", "explain"], ["objective", "list"], ["objective", "show"]];
    let mut texts = vec![done.stderr, done.stdout, resumed.stdout, resumed.stderr];
    for list in lists {
        let name = if list == ["objective", "show"] { &["unified"][..] } else { &[] };
        texts.push(run_kiln(home.path(), &[&list[..], name].concat()).expect_success().stdout);
    }
    for line in texts.iter().flat_map(|text| text.lines()) {
        let is_word = !line.trim().contains(' ');
        assert!(line.chars().count() <= 80 || line.contains('/') || is_word, "{line}");
    }
}

#[test]
fn a_text_that_occurs_nowhere_leaves_no_run_folder() {
    let home = tiny_home();
    let set = "stages.0.objective={ prefix = { split = { after = { text = \"Antwort:\" } } } }";
    let refused = run_kiln(home.path(), &["train", "tiny.toml", "--set", set, "--json"]);
    assert_eq!(refused.exit_code, Some(2), "{refused:?}");
    let error: Value = refused.json_output()["error"].clone();
    assert_eq!(error["where"], "stages[0].objective.prefix.split.after.text");
    assert!(error["message"].as_str().unwrap().contains("occurs in none of the"), "{error}");
    assert!(!home.path().join("runs/tiny").exists());
}
