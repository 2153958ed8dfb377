//! Settings that match nothing in the data or in the model are errors with counts.

use crate::training::runs::{TestRun, metric_rows, recipe, train};
use kiln_data::tokenizer::{SubwordModel, train_subword};
use kiln_train::{TrainError, metrics::MetricsRow};
use std::{fs, path::Path};

/// 40 questions with their answers, one a document. `separator` is between question and answer.
fn write_texts(home: &Path, separator: &str) -> String {
    let rows =
        (0..40).map(|i| serde_json::json!({ "text": format!("What is {i} and {i}?{separator}It is {}.", 2 * i) }));
    let path = home.join("texts.jsonl");
    fs::write(&path, rows.map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    format!("data.source={{ files = {{ paths = [{:?}] }} }}", path.display().to_string())
}

fn after(text: &str) -> String {
    format!("stages.0.objective={{ prefix = {{ split = {{ after = {{ text = {text:?} }} }} }} }}")
}

/// The location and the text of the error of starting a run; the run leaves no folder.
#[track_caller]
fn refused(sets: &[&str]) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let error = TestRun::default().start(&recipe(sets), &path).unwrap_err();
    let TrainError::Config(error) = error else { panic!("{error}") };
    assert!(!path.exists(), "{error}: a run folder is left");
    (error.path.clone(), error.message())
}

#[test]
fn a_text_that_occurs_in_no_document_is_an_error_with_counts() {
    let home = tempfile::tempdir().unwrap();
    let data = write_texts(home.path(), " Answer: ");
    let sets = [data.as_str(), "stages.0.steps=2", "model.visibility=prefix"];
    let (key, said) = refused(&[&sets[..], &[&after("Antwort:")]].concat());
    assert_eq!(key, "stages[0].objective.prefix.split.after.text");
    assert!(said.contains("\"Antwort:\" occurs in none of the") && said.contains("training documents"), "{said}");
    let unified = "stages.0.objective={ unified = { prefix = { split = { after = { text = \"Antwort:\" } } } } }";
    let (key, _) = refused(&[data.as_str(), unified]);
    assert_eq!(key, "stages[0].objective.unified.prefix.split.after.text");
    // A mode that is never drawn needs no text.
    let unused = "stages.0.objective.unified.shares.sequence_to_sequence=0";
    let path = home.path().join("unused");
    TestRun::default().start(&recipe(&[data.as_str(), "stages.0.steps=1", unified, unused]), &path).unwrap();
}

#[test]
fn a_special_token_that_is_written_in_the_text_ends_a_prefix() {
    let home = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..40).map(|i| format!("What is {i} and {i}? It is {}.", 2 * i)).collect();
    let tokenizer = train_subword(SubwordModel::WordPiece, 300, texts.iter().map(Ok)).unwrap();
    let mask = tokenizer.id_to_token(tokenizer.special_tokens().mask);
    assert_eq!(tokenizer.encode(&mask), [tokenizer.special_tokens().mask], "the tokenizer recognizes {mask}");
    let file = home.path().join("tokenizer.json");
    fs::write(&file, tokenizer.to_json()).unwrap();
    let data = write_texts(home.path(), &format!(" {mask} "));
    let sets = [
        data.as_str(),
        &format!("tokenizer={{ file = {{ path = {:?} }} }}", file.display().to_string()),
        "model.visibility=prefix",
        "stages.0.steps=2",
    ];
    // The loss counts the answers only: as many tokens as after any other text at the same place.
    let evaluated = |text: &str| {
        let path = home.path().join(format!("run-{}", text.len()));
        train(&recipe(&[&sets[..], &[&after(text)]].concat()), &path);
        let rows: Vec<MetricsRow> = metric_rows(&path).iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let mut evaluations = rows.into_iter().filter_map(|row| match row {
            MetricsRow::Validation(row) => Some(row.evaluated_tokens),
            _ => None,
        });
        evaluations.next_back().unwrap()
    };
    let full = {
        let path = home.path().join("full");
        train(&recipe(&[sets[0], sets[1], sets[3]]), &path);
        let rows = metric_rows(&path).join("");
        rows.split("\"evaluated_tokens\":").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let answers = evaluated(&mask);
    assert!(answers > 0 && answers < full * 2 / 3, "{answers} of {full} tokens are predicted");
}

#[test]
fn a_pattern_that_matches_no_parameter_is_an_error_with_counts() {
    let (key, said) = refused(&[r#"stages.0.trainable=["norm.weight", "blocks.*.atention.*"]"#]);
    assert_eq!(key, "stages[0].trainable");
    assert!(said.contains("`blocks.*.atention.*` matches none of the 20 parameters"), "{said}");
    let (key, said) = refused(&[r#"stages.0.optimizer={ adamw = { no_weight_decay = ["*norm*", "layernorm"] } }"#]);
    assert!(key == "stages[0].optimizer.adamw.no_weight_decay" && said.contains("`layernorm`"), "{key} {said}");
    let (key, _) = refused(&[r#"stages.0.optimizer={ muon = { adamw_params = ["lm_head"] } }"#]);
    assert_eq!(key, "stages[0].optimizer.muon.adamw_params");
    // Patterns of the default are for all models: this one has no biases and no position parameters.
    let home = tempfile::tempdir().unwrap();
    train(&recipe(&["stages.0.steps=1", "stages.0.optimizer=muon"]), &home.path().join("run"));
    // Parameters of an adapter have names too.
    let lora = r#"stages.0.adapter={ lora = { target_modules = ["q"] } }"#;
    train(&recipe(&["stages.0.steps=1", lora]), &home.path().join("lora"));
    let (_, said) = refused(&[lora, r#"stages.0.trainable=["*.dora.*"]"#]);
    assert!(said.contains("`*.dora.*` matches none of"), "{said}");
}
