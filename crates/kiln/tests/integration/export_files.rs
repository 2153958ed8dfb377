//! What an export keeps besides weights, what it says about the rest, and what it refuses to replace.

use crate::common::{CommandResult, crate_path, run_kiln};
use burn::tensor::Device;
use kiln_models::{Model, ModelTensors, hf};
use kiln_pretrained::files::{SaveOptions, save};
use serde_json::{Value, json};
use std::{fs, path::Path};

const TEMPLATE: &str =
    "{% for m in messages %}<|{{ m.role }}|>{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}";

/// A random Llama in the folder `model`, whose rotary scaling has an original context of its own.
fn write_model(here: &Path) {
    let config = json!({
        "model_type": "llama", "vocab_size": 403, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "rope_theta": 500000.0, "tie_word_embeddings": true,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    });
    let (_, model) = hf::read_config(&config).unwrap();
    let options = SaveOptions { config_json: Some(&config), ..SaveOptions::default() };
    let weights = Model::init(&model, 3, &Device::flex());
    save(&here.join("model"), &model, &ModelTensors::new(&weights), options).unwrap();
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Files of a tokenizer as users have them. The mask token removes the spaces before it.
fn write_tokenizer(folder: &Path) {
    let fixture = read_json(&crate_path("kiln-data/fixtures/tokenizers/byte_level.cases.json"));
    let mut tokenizer = fixture["tokenizer"].clone();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let mask = json!({
        "id": 400, "content": "<MASK>", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false,
        "special": true,
    });
    added.push(mask);
    let eos = added[0]["content"].clone();
    write(folder, "tokenizer.json", &tokenizer.to_string());
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos, "bos_token": eos, "mask_token": "<MASK>",
        "padding_side": "left", "model_max_length": 128, "added_tokens_decoder": { "400": { "content": "<MASK>" } },
        "chat_template": "{{ 'shadowed' }}", "unknown_key": [1],
    });
    write(folder, "tokenizer_config.json", &config.to_string());
    write(folder, "special_tokens_map.json", &json!({ "eos_token": eos, "mask_token": "<MASK>" }).to_string());
    write(folder, "added_tokens.json", r#"{"<MASK>": 400}"#);
    write(folder, "chat_template.jinja", TEMPLATE);
    write(folder, "additional_chat_templates/tool_use.jinja", "{{ tools }}");
    let generation = json!({
        "eos_token_id": [0, 2], "bos_token_id": 0, "do_sample": true, "temperature": 0.6, "top_p": 0.9,
        "repetition_penalty": 1.05, "no_repeat_ngram_size": 3,
    });
    write(folder, "generation_config.json", &generation.to_string());
    write(folder, "README.md", "# Model");
    write(folder, "onnx/model.onnx", "x");
    write(folder, ".gitattributes", "x");
}

fn export(here: &Path, model: &str, format: &str, out: &str, more: &[&str]) -> CommandResult {
    run_kiln(here, &[&["export", model, "--format", format, "--out", out], more].concat())
}

fn assert_equal_bytes(one: &Path, other: &Path, names: &[&str]) {
    for name in names {
        assert_eq!(fs::read(one.join(name)).unwrap(), fs::read(other.join(name)).unwrap(), "{name}");
    }
}

const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "additional_chat_templates/tool_use.jinja",
];

#[test]
fn a_folder_keeps_tokenizer_templates_and_generation_settings() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_model(here);
    write_tokenizer(&here.join("model"));
    let done = export(here, "model", "hf", "out", &[]).expect_success();
    assert_equal_bytes(&here.join("model"), &here.join("out"), &TOKENIZER_FILES);
    let settings = |folder: &str| read_json(&here.join(folder).join("generation_config.json"));
    assert_eq!(settings("out"), settings("model"));
    assert!(done.stderr.contains("not exported from model: README.md, onnx\n"), "{done:?}");
    // A copy has nothing that cannot be kept.
    let again = export(here, "out", "hf", "again", &[]).expect_success();
    assert_eq!(again.stderr, "");
}

#[test]
fn a_sentence_encoder_keeps_its_modules_and_prompts() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 400, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 64,
    });
    let (_, model) = hf::read_config(&config).unwrap();
    let options = SaveOptions { config_json: Some(&config), ..SaveOptions::default() };
    save(&here.join("model"), &model, &ModelTensors::new(&Model::init(&model, 3, &Device::flex())), options).unwrap();
    let fixture = read_json(&crate_path("kiln-data/fixtures/tokenizers/wordpiece_uncased.cases.json"));
    let modules =
        r#"[{"idx": 0, "path": "", "type": "x.Transformer"}, {"idx": 1, "path": "1_Pooling", "type": "x.Pooling"}]"#;
    let folder = here.join("model");
    write(&folder, "tokenizer.json", &fixture["tokenizer"].to_string());
    write(&folder, "modules.json", modules);
    write(&folder, "1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#);
    write(&folder, "sentence_bert_config.json", r#"{"max_seq_length": 32}"#);
    write(&folder, "config_sentence_transformers.json", r#"{"prompts": {"query": "Q: "}}"#);
    export(here, "model", "hf", "out", &[]).expect_success();
    let names =
        ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json"];
    assert_equal_bytes(&folder, &here.join("out"), &names);
    // GGUF has the pooling, and no place for lengths and prompts.
    let done = export(here, "model", "gguf", "out.gguf", &[]).expect_success();
    let lost = "not exported from model: config_sentence_transformers.json, sentence_bert_config.json\n";
    assert!(done.stderr.contains(lost), "{done:?}");
    export(here, "out.gguf", "hf", "back", &[]).expect_success();
    assert_eq!(read_json(&here.join("back/1_Pooling/config.json"))["pooling_mode_cls_token"], true);
    assert_eq!(read_json(&here.join("back/tokenizer_config.json")).get("bos_token"), None);
    write(&folder, "modules.json", r#"[{"path": "../other", "type": "x.Pooling"}]"#);
    let outside = export(here, "model", "hf", "x", &[]);
    assert!(outside.exit_code == Some(1) && outside.stderr.contains("../other"), "{outside:?}");
}

#[test]
fn a_gguf_file_keeps_what_it_has_a_place_for_and_names_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_model(here);
    write_tokenizer(&here.join("model"));
    let done = export(here, "model", "gguf", "m.gguf", &["--dtype", "f32"]).expect_success();
    for lost in [
        "no_repeat_ngram_size of generation_config.json",
        "padding_side = left",
        "model_max_length = 128",
        "lstrip of \"<MASK>\"",
        "README.md",
    ] {
        assert!(done.stderr.contains(lost), "{lost}: {done:?}");
    }
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    let back = export(here, "m.gguf", "hf", "back", &[]).expect_success();
    assert_eq!(back.stderr, "");
    assert_equal_bytes(&here.join("model"), &here.join("back"), &["chat_template.jinja", TOKENIZER_FILES[5]]);
    let config = read_json(&here.join("back/tokenizer_config.json"));
    assert_eq!((&config["mask_token"], &config["model_max_length"]), (&json!("<MASK>"), &json!(256)));
    let settings = read_json(&here.join("back/generation_config.json"));
    assert_eq!(settings["eos_token_id"], json!([0, 2]), "both end tokens");
    let expected =
        json!({ "do_sample": true, "temperature": 0.6, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.05 });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&settings[key], value, "{key}");
    }
    let logits = |model: &str| {
        run_kiln(here, &["logits", model, "--ids", "7,300,12,299,1", "--json"]).expect_success().json_output()
    };
    assert_eq!(logits("back"), logits("model"), "the rotary scaling too");
}

#[test]
fn a_run_keeps_the_settings_of_the_tokenizer_it_started_with() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_model(here);
    write_tokenizer(&here.join("model"));
    fs::write(here.join("text.txt"), "Ann was a doctor. She had a red kite and a blue hat.\n".repeat(60)).unwrap();
    let tune = ["train", "--from", "model", "--data", "text.txt", "--steps", "2", "--out", "run"];
    let set = ["--set", "stages.0.sequence_length=32", "--set", "stages.0.num_samples=0"];
    run_kiln(here, &[&tune[..], &set[..]].concat()).expect_success();
    export(here, "run", "hf", "out", &[]).expect_success();
    let [found, expected] = ["out", "model"].map(|folder| read_json(&here.join(folder).join("tokenizer_config.json")));
    for key in
        ["padding_side", "model_max_length", "tokenizer_class", "added_tokens_decoder", "mask_token", "unknown_key"]
    {
        assert_eq!(found[key], expected[key], "{key}");
    }
    let template = fs::read_to_string(here.join("out/chat_template.jinja")).unwrap();
    assert!(template.contains("m.content") && !template.contains("shadowed"), "{template}");
    assert_eq!(read_json(&here.join("out/generation_config.json"))["temperature"], 0.6);
}

#[test]
fn existing_output_is_replaced_only_with_force() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_model(here);
    write_tokenizer(&here.join("model"));
    write(here, "m.gguf", "old");
    write(here, "out/notes.txt", "mine");
    // Of an earlier model of another kind.
    write(here, "out/tokenizer.model", "old");
    write(here, "out/pytorch_model.bin", "old");
    write(here, "out/model-00001-of-00002.safetensors", "old");
    for (format, out) in [("gguf", "m.gguf"), ("hf", "out"), ("peft", "out")] {
        let refused = export(here, "model", format, out, &["--json"]);
        let error = &refused.json_output()["error"];
        assert_eq!((refused.exit_code, &error["kind"], &error["where"]), (Some(2), &json!("usage"), &json!("--out")));
        assert!(error["help"].as_str().unwrap().contains("--force"), "{error}");
    }
    assert_eq!(fs::read_to_string(here.join("m.gguf")).unwrap(), "old");
    assert!(!here.join("out/config.json").exists());
    export(here, "model", "gguf", "m.gguf", &["--force"]).expect_success();
    assert!(fs::read(here.join("m.gguf")).unwrap().starts_with(b"GGUF"));
    export(here, "model", "hf", "out", &["--force"]).expect_success();
    assert_eq!(fs::read_to_string(here.join("out/notes.txt")).unwrap(), "mine");
    for stale in ["tokenizer.model", "pytorch_model.bin", "model-00001-of-00002.safetensors"] {
        assert!(!here.join("out").join(stale).exists(), "{stale}");
    }
    run_kiln(here, &["logits", "out", "--ids", "1,2"]).expect_success();
}

#[cfg(unix)]
#[test]
fn devices_and_other_files_are_never_replaced() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_model(here);
    write_tokenizer(&here.join("model"));
    std::os::unix::fs::symlink("/dev/full", here.join("device")).unwrap();
    write(here, "notes.txt", "mine");
    let text: &[&str] = &["inspect", "model", "--text", "Ann", "--out"];
    let trained: &[&str] = &["tokenizer", "train", "notes.txt", "--out"];
    let packed: &[&str] = &["export", "model", "--format", "gguf", "--force", "--out"];
    let folder: &[&str] = &["export", "model", "--format", "hf", "--force", "--out"];
    for out in ["/dev/full", "device"] {
        for command in [text, trained, packed, folder] {
            let done = run_kiln(here, &[command, &[out]].concat());
            assert!(done.exit_code == Some(2) && done.stderr.contains("--out"), "{command:?} {out}: {done:?}");
        }
        let run = run_kiln(here, &["train", "--steps", "1", "--out", out]);
        assert_ne!(run.exit_code, Some(0), "{run:?}");
    }
    assert!(here.join("device").is_symlink());
    for command in [text, trained] {
        let done = run_kiln(here, &[command, &["notes.txt"]].concat());
        assert!(done.exit_code == Some(2) && done.stderr.contains("notes.txt"), "{done:?}");
    }
    assert_eq!(fs::read_to_string(here.join("notes.txt")).unwrap(), "mine");
    // A page replaces an earlier page.
    for _ in 0..2 {
        run_kiln(here, &[text, &["page.html"]].concat()).expect_success();
    }
}

#[test]
fn a_part_of_a_split_file_is_the_whole_model() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let fixtures = crate_path("kiln-pretrained/tests/fixtures");
    let parts = [1, 2, 3].map(|part| format!("split-llama3-0000{part}-of-00003.gguf"));
    for name in parts.iter().map(String::as_str).chain(["tiny-llama3.gguf"]) {
        fs::copy(fixtures.join(name), here.join(name)).unwrap();
    }
    let logits = |file: &str| run_kiln(here, &["logits", file, "--ids", "3,7,1", "--json"]);
    let whole = logits("tiny-llama3.gguf").expect_success().json_output();
    for part in &parts {
        assert_eq!(logits(part).expect_success().json_output(), whole, "{part}");
    }
    fs::remove_file(here.join(&parts[1])).unwrap();
    let error = logits(&parts[0]).json_output()["error"].take();
    assert!(error["message"].as_str().unwrap().contains(&parts[1]), "{error}");
    assert!(error["help"].as_str().unwrap().contains("one folder"), "{error}");
}
