//! Generation settings on the command line: flags before `generation_config.json` before defaults, and what is reported.

use crate::common::{CommandResult, copy_files, crate_path, run_kiln, set_config_key};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A tiny model with the words `w3`, `w4` and so on, in the folder `model`.
fn home_with(model: &str, settings: Option<Value>) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    copy_files(&crate_path("kiln-infer/fixtures").join(model), &home.path().join("model"));
    if let Some(settings) = settings {
        write_settings(home.path(), &settings);
    }
    home
}

fn write_settings(home: &Path, settings: &Value) {
    fs::write(home.join("model/generation_config.json"), settings.to_string()).unwrap();
}

const PROMPT: &str = "<s> w5 w9 w14 w5 w9";

fn generate(home: &Path, flags: &[&str]) -> CommandResult {
    run_kiln(home, &[&["generate", "model", "--prompt", PROMPT, "--json"], flags].concat())
}

#[track_caller]
fn output(home: &Path, flags: &[&str]) -> Value {
    generate(home, flags).expect_success().json_output()
}

/// What `transformers` writes with settings, by the fixture.
fn reference(model: &str, settings: &Value) -> Value {
    let texts: Value =
        serde_json::from_slice(&fs::read(crate_path("kiln-infer/fixtures/generations.json")).unwrap()).unwrap();
    let text = texts[model].as_array().unwrap().iter().find(|text| text["settings"] == *settings);
    text.unwrap_or_else(|| panic!("no text with {settings}"))["ids"].clone()
}

#[test]
fn settings_of_the_folder_apply_and_flags_take_precedence() {
    let settings = json!({ "max_new_tokens": 14, "repetition_penalty": 1.5, "do_sample": false });
    let home = home_with("llama", Some(settings.clone()));
    let here = home.path();
    let by_file = output(here, &["--eos-token-id", "9999"]);
    assert_eq!(by_file["ids"], reference("llama", &settings));
    let flags = ["--eos-token-id", "9999", "--repetition-penalty", "3"];
    let expected = json!({ "max_new_tokens": 14, "repetition_penalty": 3.0, "do_sample": false });
    assert_eq!(output(here, &flags)["ids"], reference("llama", &expected));
    let flags = ["--eos-token-id", "9999", "--repetition-penalty", "1", "--no-repeat-ngram-size", "2"];
    let expected = json!({ "max_new_tokens": 14, "no_repeat_ngram_size": 2, "do_sample": false });
    assert_eq!(output(here, &flags)["ids"], reference("llama", &expected));
    assert_eq!(output(here, &["--max-new-tokens", "3"])["ids"].as_array().unwrap().len(), 3);
    // A sampling flag turns sampling on: different seeds give different texts.
    let sampled = |seed: &str| output(here, &["--top-p", "0.9", "--temperature", "3", "--seed", seed])["ids"].clone();
    assert!(sampled("1") == sampled("1") && sampled("1") != sampled("2"));
    assert_eq!(
        output(here, &["--temperature", "0", "--top-p", "0.9", "--eos-token-id", "9999"])["ids"],
        by_file["ids"]
    );
}

#[test]
fn the_start_token_of_a_decoder_is_a_setting() {
    let settings = json!({ "max_new_tokens": 14, "decoder_start_token_id": 9, "do_sample": false });
    let home = home_with("t5", Some(settings.clone()));
    let here = home.path();
    let prompt = ["generate", "model", "--prompt", "w5 w9 w14 w5 w9 w30 </s>", "--json", "--eos-token-id", "9999"];
    let run = |flags: &[&str]| run_kiln(here, &[&prompt, flags].concat()).expect_success().json_output();
    assert_eq!(run(&[])["ids"], reference("t5", &settings));
    let expected = json!({ "max_new_tokens": 14, "do_sample": false, "decoder_start_token_id": 0 });
    assert_eq!(run(&["--decoder-start-token-id", "0"])["ids"], reference("t5", &expected));
}

#[test]
fn json_has_the_speeds_of_prompt_and_text() {
    let home = home_with("llama", Some(json!({ "max_new_tokens": 14, "eos_token_id": 9999 })));
    let json = output(home.path(), &[]);
    assert_eq!(
        (&json["prompt"], &json["prompt_tokens"], &json["stopped_by"]),
        (&json!(PROMPT), &json!(6), &json!("tokens"))
    );
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second", "tokens_per_second"] {
        assert!(json[key].as_f64().is_some_and(|speed| speed > 0.0), "{key}: {json}");
    }
    let one = output(home.path(), &["--max-new-tokens", "1"]);
    assert!(one["decode_tokens_per_second"].is_null() && one["prefill_tokens_per_second"].is_f64(), "{one}");
}

#[test]
fn alternatives_list_the_probabilities_of_each_token() {
    let home = home_with("llama", Some(json!({ "max_new_tokens": 5, "eos_token_id": 9999, "do_sample": false })));
    let plain = output(home.path(), &[]);
    let json = output(home.path(), &["--alternatives", "3"]);
    assert!(plain.get("tokens").is_none());
    assert_eq!((&json["ids"], &json["text"]), (&plain["ids"], &plain["text"]));
    let tokens = json["tokens"].as_array().unwrap();
    let ids: Vec<&Value> = tokens.iter().map(|token| &token["id"]).collect();
    assert_eq!(json!(ids), json["ids"]);
    let texts: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(json!(texts), json["text"]);
    for token in tokens {
        let alternatives = token["alternatives"].as_array().unwrap();
        assert_eq!((alternatives.len(), &alternatives[0]["id"]), (3, &token["id"]));
        assert_eq!(alternatives[0]["probability"], token["probability"]);
        let total: f64 = alternatives.iter().map(|token| token["probability"].as_f64().unwrap()).sum();
        assert!(total > 0.0 && total < 1.0 && alternatives.iter().all(|token| token["text"] != ""), "{json}");
    }
    let words = run_kiln(home.path(), &["generate", "model", "--prompt", PROMPT, "--alternatives", "3"]);
    assert!(words.expect_success().stderr.contains("--alternatives has no effect"));
}

#[test]
fn a_stop_text_ends_the_text_and_is_not_shown() {
    let home = home_with("llama", Some(json!({ "max_new_tokens": 14, "eos_token_id": 9999 })));
    let here = home.path();
    let whole = output(here, &[]);
    let text = whole["text"].as_str().unwrap();
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    // A text that begins within a token and ends within another one.
    let stop = format!("{} {}", &words[2][1..], &words[3][..1]);
    let before = &text[..text.find(&stop).unwrap()];
    for flags in [&["--stop", &stop][..], &["--stop", "never", "--stop", &stop]] {
        let stopped = output(here, flags);
        assert_eq!((&stopped["text"], &stopped["stopped_by"]), (&json!(before), &json!("stop")), "{stop:?}");
        let ids = stopped["ids"].as_array().unwrap();
        assert_eq!(ids[..], whole["ids"].as_array().unwrap()[..ids.len()]);
    }
    let shown = run_kiln(here, &["generate", "model", "--prompt", PROMPT, "--stop", &stop]).expect_success().stdout;
    assert_eq!(shown, format!("{PROMPT}{before}\n"));
    write_settings(here, &json!({ "max_new_tokens": 14, "eos_token_id": 9999, "stop_strings": [stop] }));
    assert_eq!(output(here, &[])["text"], before);
    assert_eq!(output(here, &["--stop", "never"])["text"], text);
    let never = generate(here, &["--stop", "w5 </s>"]);
    assert!(never.exit_code == Some(2) && never.stderr.contains("contains a special token"), "{never:?}");
    let empty = generate(here, &["--stop", ""]);
    assert_eq!(empty.exit_code, Some(2), "{empty:?}");
}

#[test]
fn a_special_token_is_a_stop_text_too() {
    let home = home_with("llama", Some(json!({ "max_new_tokens": 14, "eos_token_id": 9999 })));
    let here = home.path();
    let forced = ["--forced-eos-token-id", "1", "--max-new-tokens", "4"];
    assert_eq!(output(here, &forced)["stopped_by"], "tokens");
    let stopped = output(here, &[&forced[..], &["--stop", "</s>"]].concat());
    assert_eq!((&stopped["stopped_by"], &stopped["ids"][3]), (&json!("stop"), &json!(1)));
}

#[test]
fn what_is_not_applied_is_reported_once() {
    let home = home_with("llama", Some(json!({ "num_beams": 4, "guidance_scale": 2.0, "top_p": 0.5, "my_key": 1 })));
    let here = home.path();
    let result = generate(here, &["--max-new-tokens", "2"]).expect_success();
    for text in
        ["`num_beams` = 4", "`guidance_scale` = 2.0", "`my_key` = 1 (unknown setting)", "`top_p` without effect"]
    {
        assert_eq!(result.stderr.matches(text).count(), 1, "{text}: {}", result.stderr);
    }
    assert!(result.stderr.contains("generation_config.json"), "{}", result.stderr);
    // Evaluation and logits do not use generation settings.
    let logits = run_kiln(here, &["logits", "model", "--ids", "5,9"]).expect_success();
    assert_eq!(logits.stderr, "");
    write_settings(here, &json!({ "num_beams": 1, "transformers_version": "5.24.0", "pad_token_id": 0, "top_k": 50 }));
    assert_eq!(generate(here, &["--max-new-tokens", "2"]).expect_success().stderr, "");
    let unused = generate(here, &["--seed", "3", "--decoder-start-token-id", "3"]).expect_success().stderr;
    assert!(unused.contains("--seed has no effect") && unused.contains("--decoder-start-token-id has no"), "{unused}");
}

#[test]
fn invalid_values_name_the_file_or_the_flag() {
    let home = home_with("llama", None);
    let here = home.path();
    let table = [
        (json!({ "temperature": "hot" }), "temperature: expected a number, found \"hot\""),
        (json!({ "do_sample": true, "top_p": 1.5 }), "top_p: expected a probability above 0 and at most 1, found 1.5"),
        (json!({ "repetition_penalty": 0 }), "repetition_penalty: expected a number above 0"),
        (json!([]), "expected an object"),
    ];
    for (settings, text) in table {
        write_settings(here, &settings);
        let result = generate(here, &[]);
        assert!(result.exit_code == Some(1) && result.stderr.contains(text), "{result:?}");
        assert!(result.stderr.contains("generation_config.json"), "{result:?}");
    }
    write_settings(here, &json!({}));
    for (flags, flag) in [
        (["--repetition-penalty", "-1"], "--repetition-penalty"),
        (["--typical-p", "2"], "--typical-p"),
        (["--bad-words-ids", "a"], "--bad-words-ids"),
        (["--forced-bos-token-id", "99"], "forced_bos_token_id: expected a token id below 40"),
    ] {
        let result = generate(here, &flags);
        assert!(result.exit_code == Some(2) && result.stderr.contains(flag), "{result:?}");
    }
    let all: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    let none = generate(here, &["--suppress-tokens", &all.join(",")]);
    assert!(none.exit_code == Some(1) && none.stderr.contains("exclude every token"), "{none:?}");
}

#[test]
fn lengths_count_the_prompt_and_end_at_the_last_position() {
    let home = home_with("llama", Some(json!({ "max_length": 9, "eos_token_id": 9999 })));
    let here = home.path();
    let ended = |flags: &[&str]| {
        let json = output(here, flags);
        (json["ids"].as_array().unwrap().len(), json["stopped_by"].as_str().unwrap().to_owned())
    };
    assert_eq!(ended(&[]), (3, "length".into()));
    assert_eq!(ended(&["--max-new-tokens", "5"]), (5, "tokens".into()));
    assert_eq!(ended(&["--max-length", "7"]), (1, "length".into()));
    let full = generate(here, &["--max-length", "6"]);
    assert!(
        full.exit_code == Some(2) && full.stderr.contains("prompt 0 has 6 tokens and `max_length` = 6"),
        "{full:?}"
    );
    // The model was made for 64 tokens; the last one needs no position.
    assert_eq!(ended(&["--max-new-tokens", "500"]), (59, "length".into()));
    let beyond = generate(here, &["--max-length", "70"]).expect_success();
    assert_eq!(beyond.json_output()["ids"].as_array().unwrap().len(), 64);
    assert!(beyond.stderr.contains("`max_length` is 70") && beyond.stderr.contains("at most 64 tokens"), "{beyond:?}");
}

#[test]
fn a_prompt_beyond_rotary_positions_is_a_warning_with_both_lengths() {
    let home = home_with("llama", Some(json!({ "eos_token_id": 9999 })));
    let here = home.path();
    set_config_key(&here.join("model"), "max_position_embeddings", json!(4));
    let long = generate(here, &["--max-new-tokens", "3"]).expect_success();
    assert!(long.stderr.contains("prompt has 6 tokens") && long.stderr.contains("at most 4 tokens"), "{long:?}");
    assert_eq!(long.json_output()["ids"].as_array().unwrap().len(), 3);
    let scaling =
        json!({ "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 4 });
    set_config_key(&here.join("model"), "rope_parameters", scaling);
    let scaled = generate(here, &["--max-new-tokens", "3"]).expect_success();
    assert_eq!(scaled.stderr, "");
}

/// Removes words from the tokenizer, so that the model has rows without a token.
fn remove_words(home: &Path, words: &[&str]) {
    let file = home.join("model/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    words.iter().for_each(|word| assert!(vocab.remove(*word).is_some()));
    fs::write(file, tokenizer.to_string()).unwrap();
}

#[test]
fn ids_without_a_token_have_no_text_and_can_be_excluded() {
    let settings = json!({ "max_new_tokens": 14, "do_sample": false });
    let home = home_with("llama", Some(settings.clone()));
    let here = home.path();
    let expected = reference("llama", &settings);
    let ids: Vec<u64> = expected.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    // One id becomes a hole in the vocabulary, the last one lies beyond it.
    let hole = ids[1];
    let words: Vec<String> = [hole, 39].iter().map(|id| format!("w{id}")).collect();
    remove_words(here, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let padded = output(here, &["--eos-token-id", "9999"]);
    assert_eq!(padded["ids"], expected);
    let has_word = |json: &Value| words.iter().any(|word| json["text"].as_str().unwrap().split(' ').any(|w| w == word));
    assert!(!has_word(&padded), "{padded}");
    let masked = output(here, &["--eos-token-id", "9999", "--mask-unassigned"]);
    assert_eq!(masked["ids"].as_array().unwrap().len(), 14);
    assert!(masked["ids"].as_array().unwrap().iter().all(|id| *id != hole && *id != 39), "{masked}");
}

#[test]
fn samples_of_a_training_run_may_have_ids_without_a_token() {
    let home = home_with("llama", Some(json!({ "num_beams": 4, "suppress_tokens": [3] })));
    let here = home.path();
    let words: Vec<String> = (20..40).map(|id| format!("w{id}")).collect();
    remove_words(here, &words.iter().map(String::as_str).collect::<Vec<_>>());
    fs::write(here.join("text.txt"), "w5 w9 w14 w5 w9 w7 w8\n\n".repeat(400)).unwrap();
    let sizes = [
        "stages.0.steps=2",
        "stages.0.sequence_length=16",
        "stages.0.batch_size=2",
        "stages.0.num_samples=8",
        "stages.0.sample_tokens=16",
        "stages.0.eval_every=1",
    ];
    let mut args = vec!["train", "--from", "model", "--data", "text.txt", "--out", "run"];
    sizes.iter().for_each(|size| args.extend(["--set", size]));
    run_kiln(here, &args).expect_success();
    // The run takes the settings of the model along.
    let settings: Value = serde_json::from_slice(&fs::read(here.join("run/generation_config.json")).unwrap()).unwrap();
    assert_eq!(settings["suppress_tokens"], json!([3]), "{settings}");
    let generated = run_kiln(here, &["generate", "run", "--prompt", "w5", "--max-new-tokens", "4"]).expect_success();
    assert!(generated.stderr.contains("`num_beams` = 4"), "{generated:?}");
}

#[test]
fn settings_of_an_older_config_apply_without_a_file() {
    let home = home_with("llama", None);
    let here = home.path();
    set_config_key(&here.join("model"), "repetition_penalty", json!(1.5));
    set_config_key(&here.join("model"), "num_beams", json!(4));
    let flags = ["--eos-token-id", "9999", "--temperature", "0", "--max-new-tokens", "14"];
    let expected = json!({ "max_new_tokens": 14, "repetition_penalty": 1.5, "do_sample": false });
    let result = generate(here, &flags).expect_success();
    assert_eq!(result.json_output()["ids"], reference("llama", &expected));
    assert!(result.stderr.contains("config.json: settings that are not supported"), "{result:?}");
}
