//! Objectives on the command line: shown, trained, evaluated and used.

use crate::common::{TINY_RECIPE, run_kiln};
use std::fs;

#[test]
fn every_objective_is_listed_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let listed = run_kiln(home.path(), &["objective", "list", "--json"]).expect_success().json_output();
    let names: Vec<&str> =
        listed["objectives"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.starts_with(&["full", "prefix", "masked", "unified", "chat", "completion"]), "{names:?}");
    fs::write(home.path().join("text.txt"), "The quick brown fox jumps over the lazy dog and the cat. ".repeat(40))
        .unwrap();
    for name in names {
        let reads_text = ["full", "prefix", "masked", "unified", "distill"].contains(&name);
        let mut call = vec!["objective", "show", name];
        if reads_text {
            call.extend(["--data", "text.txt"]);
        }
        if name == "distill" {
            call.extend(["--set", "teacher=runs/teacher"]);
        }
        let text = run_kiln(home.path(), &call).expect_success().stdout;
        assert!(text.contains("input") && text.contains("target") && text.contains('█'), "{text}");
        assert!(!text.contains('\u{1b}'), "colors in a pipe: {text}");
        call.push("--json");
        let shown = run_kiln(home.path(), &call).expect_success().json_output();
        let examples = shown["examples"].as_array().unwrap();
        assert_eq!(examples.len(), if name == "unified" { 4 } else { 1 });
        for example in examples {
            let (tokens, visible) = (example["tokens"].as_array().unwrap(), example["visible"].as_array().unwrap());
            assert_eq!(tokens.len(), visible.len());
            let asks = tokens.iter().any(|token| !token["asked"].is_null());
            assert_eq!(asks, name != "contrastive", "{name}");
        }
        if !reads_text {
            continue;
        }
        let seen = &examples[0]["visible"];
        let all = seen.as_array().unwrap().iter().all(|row| !row.as_str().unwrap().contains('0'));
        assert_eq!(all, ["masked", "unified"].contains(&name), "{name}: {seen}");
    }
}

#[test]
fn only_the_answers_of_a_conversation_are_targets() {
    let home = tempfile::tempdir().unwrap();
    let shown = run_kiln(home.path(), &["objective", "show", "chat", "--json"]).expect_success().json_output();
    let tokens = shown["examples"][0]["tokens"].as_array().unwrap();
    let asked: String = tokens.iter().filter_map(|token| token["asked"].as_str()).collect();
    assert_eq!(asked, "Yes, it is.<|im_end|>");
    let given: String = tokens.iter().filter_map(|token| token["given"].as_str()).collect();
    assert!(given.contains("Is the kite red?<|im_end|>↵<|im_start|>assistant↵Yes"), "{given}");

    let row = |question: &str, answer: &str| format!("{{\"prompt\":\"{question} \",\"completion\":\"{answer}\"}}\n");
    fs::write(home.path().join("rows.jsonl"), row("Who has it?", "Ben.") + &row("Who has the kite?", "Ann has it."))
        .unwrap();
    let show = |name: &str| run_kiln(home.path(), &["objective", "show", name, "--data", "rows.jsonl", "--json"]);
    let tokens = show("completion").expect_success().json_output()["examples"][0]["tokens"].clone();
    let asked: String = tokens.as_array().unwrap().iter().filter_map(|token| token["asked"].as_str()).collect();
    assert!(asked.starts_with("Ben."), "{asked}");
    let refused = show("chat");
    let told = "the objective `chat` reads conversations, found prompts with completions";
    assert!(refused.exit_code == Some(2) && refused.stderr.contains(told), "{refused:?}");
}

#[test]
fn options_change_the_example_and_invalid_ones_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let show = |more: &[&str]| run_kiln(home.path(), &[&["objective", "show", "masked", "--json"], more].concat());
    let asked = |more: &[&str]| {
        let shown = show(more).expect_success().json_output();
        let tokens = shown["examples"][0]["tokens"].as_array().unwrap().clone();
        (tokens.iter().filter(|token| !token["asked"].is_null()).count(), tokens.len())
    };
    let (all, tokens) = asked(&["--set", "rate=1.0"]);
    assert_eq!(all + 2, tokens, "all but <bos> and <eos>");
    assert!(asked(&["--set", "rate=0.1", "--set", "unit=span"]).0 < all);
    let wrong = show(&["--set", "rate=2.0"]);
    assert_eq!(wrong.exit_code, Some(2), "{wrong:?}");
    assert!(wrong.json_output()["error"]["where"].as_str().unwrap().contains("objective.masked.rate"), "{wrong:?}");
    let unknown = run_kiln(home.path(), &["objective", "show", "maskd"]);
    assert!(unknown.exit_code == Some(2) && unknown.stderr.contains("did you mean `masked`?"), "{unknown:?}");
}

#[test]
fn a_masked_model_is_trained_evaluated_and_fills_in_text() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), TINY_RECIPE).unwrap();
    let call = ["train", "tiny.toml", "--set", "stages.0.objective=masked", "--out", "run", "--json"];
    let trained = run_kiln(home.path(), &call).expect_success().json_output();
    assert!(trained["floor"].is_null() && trained["validation_loss"].is_number(), "{trained}");
    let page = fs::read_to_string(home.path().join("run/report.html")).unwrap();
    assert!(page.contains("Objective example") && page.contains("of masked tokens"));
    assert_eq!(run_kiln(home.path(), &["eval", "run", "--json"]).expect_success().json_output()["kind"], "pseudo");
    let filled = run_kiln(home.path(), &["generate", "run", "--prompt", "A ___ b ___", "--mask-length", "2", "--json"])
        .expect_success()
        .json_output();
    assert_eq!((filled["ids"].as_array().unwrap().len(), filled["blanks"].as_array().unwrap().len()), (4, 2));
    assert_eq!(filled["stopped_by"], "blanks");
    let none = run_kiln(home.path(), &["generate", "run", "--prompt", "no blank"]);
    assert!(none.exit_code == Some(2) && none.stderr.contains("___"), "{none:?}");
}
