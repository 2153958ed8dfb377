//! `kiln embed` with the files of a sentence encoder, and sentence encoders trained by Kiln.

use crate::common::{crate_path, json_values, run_kiln};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A case of `tools/fixtures_sentence.py`, under `encoder`.
fn write_encoder(home: &Path, case: &str) {
    let fixtures = crate_path("kiln-infer/tests/fixtures/sentence");
    let folder = home.join("encoder");
    for from in [fixtures.join("base"), fixtures.join(case), fixtures.join(case).join("1_Pooling")] {
        let to = if from.ends_with("1_Pooling") { folder.join("1_Pooling") } else { folder.clone() };
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn embed_uses_the_prompts_of_the_model() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_encoder(here, "prompts");
    let embed = |args: &[&str]| {
        let texts = ["--text", "a cat", "--text", "Quiet gulls came over", "--json"];
        run_kiln(here, &[&["embed", "encoder"], args, &texts].concat()).expect_success().json_output()
    };
    let default = embed(&[]);
    assert_eq!((&default["shape"], &default["prompt"]), (&json!([2, 80]), &json!("passage : ")));
    assert_eq!(default["similarity"], "cosine");
    let similarities = json_values(&default["similarities"]);
    assert!((similarities[0] - 1.0).abs() < 1e-6 && similarities[1] == similarities[2] && similarities[1] < 0.999);
    assert_eq!(embed(&["--prompt-name", "passage"])["embeddings"], default["embeddings"]);
    let query = embed(&["--prompt-name", "query"]);
    assert_ne!(query["embeddings"], default["embeddings"]);
    assert_eq!(embed(&["--prompt", "query : "])["embeddings"], query["embeddings"]);
    assert_ne!(embed(&["--prompt", ""])["embeddings"], default["embeddings"]);
    let wrong = run_kiln(here, &["embed", "encoder", "--text", "a", "--prompt-name", "pasage"]);
    let parts = ["no prompt `pasage`", "document, passage, query", "`passage`"];
    assert!(wrong.exit_code == Some(1) && parts.iter().all(|part| wrong.stderr.contains(part)), "{wrong:?}");
    let both = run_kiln(here, &["embed", "encoder", "--text", "a", "--prompt", "b", "--prompt-name", "query"]);
    assert_eq!(both.exit_code, Some(2));
}

/// Pairs of texts that the encoder has words for.
fn write_pairs(home: &Path) {
    let words = ["gulls", "oranges", "ferry", "harbor", "cat", "nets"];
    let pairs = words.iter().flat_map(|a| words.map(|b| (*a, b)));
    let row = |(a, b)| json!({ "anchor": format!("the {a} and {b}"), "positive": format!("{a} came over {b}") });
    fs::write(home.join("pairs.jsonl"), pairs.map(|pair| row(pair).to_string()).collect::<Vec<_>>().join("\n"))
        .unwrap();
}

fn train(home: &Path, out: &str, args: &[&str]) {
    let common = ["train", "contrastive", "--data", "pairs.jsonl", "--set", "data.validation=0.2", "--steps", "2"];
    run_kiln(home, &[&common[..], &["--out", out], args].concat()).expect_success();
}

fn embeddings(home: &Path, model: &str) -> Vec<f64> {
    let texts = ["--text", "the cat came with gulls", "--text", "a ferry", "--json"];
    json_values(&run_kiln(home, &[&["embed", model], &texts[..]].concat()).expect_success().json_output()["embeddings"])
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn assert_same_embeddings(home: &Path, run: &str, exported: &str) {
    run_kiln(home, &["export", run, "--format", "hf", "--out", exported]).expect_success();
    let (found, expected) = (embeddings(home, exported), embeddings(home, run));
    let far = found.iter().zip(&expected).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
    assert!(found.len() == expected.len() && far < 1e-5, "{far:e}");
}

#[test]
fn a_trained_encoder_keeps_the_settings_of_the_one_it_started_from() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_encoder(here, "mean");
    let settings = json!({ "prompts": { "query": "find the " }, "similarity_fn_name": "cosine" });
    fs::write(here.join("encoder/config_sentence_transformers.json"), settings.to_string()).unwrap();
    write_pairs(here);
    let fits = ["--from", "encoder", "--set", "stages.0.sequence_length=20"];
    train(here, "full", &fits);
    train(here, "lora", &[&fits[..], &["--set", "stages.0.adapter=lora"]].concat());
    for run in ["full", "lora"] {
        assert!(embeddings(here, run) != embeddings(here, "encoder"), "{run} trained nothing");
        let exported = format!("{run}-hf");
        assert_same_embeddings(here, run, &exported);
        let file = |name: &str| read(&here.join(&exported).join(name));
        let classes: Vec<Value> =
            file("modules.json").as_array().unwrap().iter().map(|module| module["type"].clone()).collect();
        assert_eq!(
            classes,
            ["Transformer", "Pooling", "Normalize"].map(|class| format!("sentence_transformers.models.{class}"))
        );
        let pooling = file("1_Pooling/config.json");
        assert_eq!(
            (&pooling["pooling_mode_mean_tokens"], &pooling["word_embedding_dimension"]),
            (&json!(true), &json!(16))
        );
        assert_eq!(file("sentence_bert_config.json")["max_seq_length"], 8);
        assert_eq!(file("config_sentence_transformers.json")["prompts"]["query"], "find the ");
        assert_eq!(file("config.json")["architectures"], json!(["BertModel"]));
    }
    // Another pooling travels with its run.
    train(here, "cls", &[&fits[..], &["--set", "stages.0.objective.contrastive.pooling=cls"]].concat());
    assert_same_embeddings(here, "cls", "cls-hf");
    assert_eq!(read(&here.join("cls-hf/1_Pooling/config.json"))["pooling_mode_cls_token"], true);
}

#[test]
fn an_encoder_with_a_tokenizer_of_its_own_reads_texts_as_in_training() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_pairs(here);
    let small = ["--set", "tokenizer=byte", "--set", "model.hidden=16", "--set", "stages.0.sequence_length=64"];
    train(here, "run", &small);
    assert_same_embeddings(here, "run", "hf");
    let tokenizer = read(&here.join("hf/tokenizer.json"));
    assert_eq!(tokenizer["post_processor"]["single"].as_array().unwrap().len(), 3, "<bos>, the text, <eos>");
    // A decoder with causal attention, pooled at the last token.
    let decoder = ["--set", "model={ hidden = 16 }"];
    train(here, "decoder", &[&small[..2], &small[4..], &decoder].concat());
    assert_same_embeddings(here, "decoder", "decoder-hf");
    assert_eq!(read(&here.join("decoder-hf/1_Pooling/config.json"))["pooling_mode_lasttoken"], true);
}

#[test]
fn training_on_pairs_refuses_parts_of_a_batch_and_plain_text() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_pairs(here);
    let refused = |args: &[&str], words: &[&str]| {
        let done = run_kiln(here, &[&["train", "contrastive", "--steps", "2", "--json"], args].concat());
        let error = done.json_output()["error"].take();
        let said = format!("{} {} {}", error["message"], error["help"], error["location"]);
        assert!(done.exit_code != Some(0) && words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    };
    refused(
        &["--data", "pairs.jsonl", "--set", "stages.0.gradient_accumulation=2"],
        &["gradient_accumulation", "contrastive"],
    );
    fs::write(here.join("text.txt"), "A text without a pair.\n".repeat(50)).unwrap();
    refused(&["--data", "text.txt"], &["contrastive", "pairs"]);
}
