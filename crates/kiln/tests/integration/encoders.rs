//! Encoders and encoder-decoders of Hugging Face, with the commands that generate and evaluate.

use crate::common::{
    copy_files, crate_path, fixtures_dir, json_values, read_tensor, run_kiln, set_config_key, write_word_model,
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

const T5: [(u64, &str); 3] = [(1, "<unk>"), (0, "<pad>"), (2, "</s>")];
const BERT: [(u64, &str); 5] = [(1, "[UNK]"), (0, "[PAD]"), (2, "[CLS]"), (3, "[SEP]"), (4, "[MASK]")];

fn listed(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

fn ids(json: &Value) -> Vec<u64> {
    json_values(json).into_iter().map(|id| id as u64).collect()
}

/// Logits of a model, a row a token.
fn logits(home: &Path, model: &str, args: &[&str]) -> Vec<Vec<f64>> {
    let json = run_kiln(home, &[&["logits", model], args, &["--json"]].concat()).expect_success().json_output();
    let width = json["shape"][1].as_u64().unwrap() as usize;
    json_values(&json["logits"]).chunks(width).map(<[f64]>::to_vec).collect()
}

fn likeliest(row: &[f64]) -> u64 {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u64
}

/// −log p of a token.
fn nats(row: &[f64], id: u64) -> f64 {
    let most = row.iter().copied().fold(f64::MIN, f64::max);
    most + row.iter().map(|x| (x - most).exp()).sum::<f64>().ln() - row[id as usize]
}

/// What a T5 writes, each token the likeliest of its logits.
fn by_logits(home: &Path, model: &str, read: &[u64], start: u64, tokens: usize) -> Vec<u64> {
    let mut written = vec![start];
    for _ in 0..tokens {
        let rows = logits(home, model, &["--ids", &listed(read), "--decoder-ids", &listed(&written)]);
        written.push(likeliest(rows.last().unwrap()));
    }
    written.split_off(1)
}

fn generated(home: &Path, model: &str, prompt: &str, tokens: &str) -> Value {
    run_kiln(home, &["generate", model, "--prompt", prompt, "--max-new-tokens", tokens, "--temperature", "0", "--json"])
        .expect_success()
        .json_output()
}

#[test]
fn a_t5_writes_what_the_reference_code_writes() {
    let home = tempfile::tempdir().unwrap();
    for case in ["t5-tied", "t5-gated"] {
        write_word_model(&format!("hf-encoders/{case}"), &home.path().join(case), &T5, "A </s>");
        let expected = home.path().join(case).join("expected.safetensors");
        let [prompt, greedy] = ["prompt", "greedy"]
            .map(|name| read_tensor(&expected, name).into_iter().map(|id| id as u64).collect::<Vec<_>>());
        let word = |id: &u64| {
            T5.iter().find(|(special, _)| special == id).map_or(format!("w{id}"), |(_, name)| (*name).into())
        };
        let words = |ids: &[u64]| ids.iter().map(word).collect::<Vec<_>>().join(" ");
        let (end, text) = prompt.split_last().unwrap();
        assert_eq!(*end, 2, "the reference's prompt ends as T5's do");
        let json = generated(home.path(), case, &words(text), "64");
        assert_eq!(ids(&json["ids"]), greedy, "{case}");
        assert_eq!(json["text"], words(&greedy).as_str(), "{case}");
        assert_eq!(json["stopped_by"], "tokens");
    }
}

#[test]
fn a_t5_begins_and_ends_as_its_files_say() {
    let home = tempfile::tempdir().unwrap();
    let (here, model) = (home.path(), home.path().join("t5"));
    write_word_model("hf-encoders/t5-tied", &model, &T5, "A </s>");
    let text = "w14 w21 w15 w5";
    let written = || ids(&generated(here, "t5", text, "5")["ids"]);
    let start = |id: u64| by_logits(here, "t5", &[14, 21, 15, 5, 2], id, 5);
    assert_eq!(written(), start(0));
    // Another first token of the decoder; where none is said, that which fills up.
    set_config_key(&model, "decoder_start_token_id", json!(7));
    assert_eq!(written(), start(7));
    assert!(start(7) != start(0) && start(9) != start(0), "a control");
    set_config_key(&model, "decoder_start_token_id", json!(null));
    set_config_key(&model, "pad_token_id", json!(9));
    assert_eq!(written(), start(9));
    // Without a tokenizer that says so, nothing ends what the encoder reads.
    write_word_model("hf-encoders/t5-tied", &model, &T5, "A");
    let open = by_logits(here, "t5", &[14, 21, 15, 5], 0, 5);
    assert_eq!(written(), open);
    assert_ne!(open, start(0), "a control");
}

/// Encoders of the reference's: with logits over tokens, without a head, with classes.
fn berts() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for case in ["bert-masked", "bert-bare", "bert-classes"] {
        write_word_model(&format!("hf-encoders/{case}"), &home.path().join(case), &BERT, "[CLS] A [SEP]");
    }
    fs::write(home.path().join("text.txt"), "w7 w8 w9 w7 w11 w12").unwrap();
    home
}

#[track_caller]
fn refused(home: &Path, args: &[&str], code: i32, words: &[&str]) {
    let done = run_kiln(home, &[args, &["--json"]].concat());
    assert_eq!(done.exit_code, Some(code), "{args:?}: {done:?}");
    let error = done.json_output()["error"].take();
    let said = format!("{} {}", error["message"].as_str().unwrap(), error["help"].as_str().unwrap_or_default());
    words.iter().for_each(|word| assert!(said.contains(word), "{args:?}: `{word}` is not in {said}"));
}

#[test]
fn an_encoder_does_not_generate_and_suggests_other_commands() {
    let home = berts();
    let here = home.path();
    for (case, head) in [("bert-bare", "`embedding`"), ("bert-classes", "`class`")] {
        for command in ["generate", "chat"] {
            refused(here, &[command, case], 1, &["the head", head, "kiln embed", "kiln logits"]);
        }
        // A template changes nothing about it.
        fs::write(here.join(case).join("chat_template.jinja"), "{{ messages[0].content }}").unwrap();
        refused(here, &["chat", case], 1, &["the head", head, "kiln embed"]);
        let embedded = run_kiln(here, &["embed", case, "--text", "w7 w8", "--json"]).expect_success().json_output();
        assert_eq!(embedded["shape"][0], 1);
    }
    refused(here, &["chat", "bert-masked"], 1, &["kiln generate", "___", "kiln embed", "kiln logits"]);
    // One that was trained to fill masks does it.
    refused(here, &["generate", "bert-masked", "--prompt", "w7 w9"], 2, &["___"]);
    let filled = generated(here, "bert-masked", "w7 ___ w9", "1");
    let mut row = logits(here, "bert-masked", &["--ids", "2,7,4,9,3"]).remove(2);
    BERT.iter().for_each(|(id, _)| row[*id as usize] = f64::MIN);
    let best = likeliest(&row);
    assert_eq!((&filled["ids"], &filled["text"]), (&json!([best]), &json!(format!("w7 w{best} w9"))), "{filled}");
}

#[test]
fn models_without_a_token_loss_are_not_evaluated() {
    let home = berts();
    let here = home.path();
    let eval = |model: &'static str| vec!["eval", model, "--data", "text.txt"];
    refused(here, &eval("bert-bare"), 2, &["the head `language`, found `embedding`", "kiln embed"]);
    refused(here, &eval("bert-classes"), 2, &["the head `language`, found `class`", "kiln logits"]);
    write_word_model("hf-encoders/t5-tied", &here.join("t5"), &T5, "A </s>");
    refused(here, &eval("t5"), 2, &["nothing would be fed to its encoder", "--decoder-ids"]);
    // Which holds for a file without a tokenizer too, but that is said first.
    fs::copy(crate_path("kiln-pretrained/tests/fixtures/tiny-t5.gguf"), here.join("t5.gguf")).unwrap();
    refused(here, &eval("t5.gguf"), 1, &["t5.gguf: the GGUF file has no tokenizer", "kiln logits"]);
}

/// With one word that isn't special, a token that is chosen is masked, else stays as it is: the loss of many texts of that
/// word is a mean of two numbers, in which each counts a whole number of times.
#[test]
fn the_loss_of_an_encoder_is_over_masked_tokens() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let names: Vec<String> = (0..37).map(|id| format!("<{id}>")).collect();
    let others = names.iter().enumerate().map(|(id, name)| (id as u64, name.as_str()));
    let others = others.filter(|(id, _)| *id != 7 && !BERT.iter().any(|(special, _)| special == id));
    let special: Vec<(u64, &str)> = BERT.into_iter().chain(others).collect();
    write_word_model("hf-encoders/bert-masked", &here.join("bert"), &special, "[CLS] A [SEP]");
    fs::write(here.join("texts.jsonl"), "{\"text\": \"w7\"}\n".repeat(900)).unwrap();
    let found = run_kiln(here, &["eval", "bert", "--data", "texts.jsonl", "--json"]).expect_success().json_output();
    assert_eq!(found["kind"], "pseudo");
    let [masked, kept] = ["2,4,3", "2,7,3"].map(|ids| nats(&logits(here, "bert", &["--ids", ids])[1], 7));
    assert!((masked - kept).abs() > 1e-2, "a control: {masked} {kept}");
    let chosen = found["tokens"].as_f64().unwrap();
    assert!((900.0 * 0.15 - chosen).abs() < 45.0, "{found}");
    let masks = chosen * (found["loss"].as_f64().unwrap() - kept) / (masked - kept);
    assert!((masks - masks.round()).abs() < 1e-2 && (masks / chosen - 0.8).abs() < 0.15, "{masks} of {chosen}");
}

#[test]
fn the_loss_of_a_file_agrees_with_the_logits() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_word_model("hf/llama-biases", &here.join("folder"), &[(0, "<unk>"), (1, "<s>"), (2, "</s>")], "<s> A");
    copy_files(&fixtures_dir().join("hf/gpt2-tied"), &here.join("bare"));
    fs::write(here.join("tiny.toml"), crate::common::LLAMA_RECIPE).unwrap();
    run_kiln(here, &["train", "tiny.toml", "--out", "run"]).expect_success();
    run_kiln(here, &["export", "run", "--format", "gguf", "--out", "run.gguf"]).expect_success();
    let ann = "Ann was a doctor. She had a red kite.";
    for (model, text) in [("folder", "w7 w8 w9 w7 w11"), ("run", ann), ("run.gguf", ann)] {
        fs::write(here.join("text.txt"), text).unwrap();
        let encoded = run_kiln(here, &["tokenizer", "encode", model, "--text", text, "--no-special-tokens", "--json"])
            .expect_success()
            .json_output();
        let roles =
            run_kiln(here, &["tokenizer", "inspect", model, "--json"]).expect_success().json_output()["roles"].take();
        let [bos, eos] = ["bos", "eos"].map(|role| roles[role].as_u64().unwrap());
        let document = [vec![bos], ids(&encoded["ids"]), vec![eos]].concat();
        let rows = logits(here, model, &["--ids", &listed(&document)]);
        let wanted: f64 = document[1..].iter().zip(&rows).map(|(next, row)| nats(row, *next)).sum();
        let found = run_kiln(here, &["eval", model, "--data", "text.txt", "--json"]).expect_success().json_output();
        assert_eq!((&found["kind"], &found["tokens"]), (&json!("causal"), &json!(document.len() - 1)), "{model}");
        let (wanted, found) = (wanted / (document.len() - 1) as f64, found["loss"].as_f64().unwrap());
        assert!((wanted - found).abs() < 1e-4, "{model}: {wanted} {found}");
    }
    refused(here, &["eval", "bare", "--data", "text.txt"], 1, &["no tokenizer", "bare"]);
}
