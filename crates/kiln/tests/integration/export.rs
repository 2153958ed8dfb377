//! Models of every GGUF family, each with a tokenizer of another kind: exported, they give the same results.

use crate::common::run_kiln;
use burn::tensor::{Device, TensorData};
use kiln_models::{
    Model, ModelTensors, hf,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_pretrained::files::{SaveOptions, save};
use serde_json::{Value, json};
use std::{fs, path::Path};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kiln-data/fixtures/tokenizers");

/// A folder with random weights and this tokenizer.
fn folder(home: &Path, name: &str, config: &Value, tokenizer: &str) {
    let (_, model) = hf::read_config(config).unwrap();
    let weights = Model::init(&model, 3, &Device::flex());
    // Rows of one table, norms and biases that count.
    let drawn = |(name, data): (String, TensorData)| {
        let values: Vec<f32> = data.iter::<f32>().zip(0..).map(|(x, i)| x + 0.1 * (i as f32 * 0.7).sin()).collect();
        (name, TensorData::new(values, data.shape().to_vec()))
    };
    let weights: InMemoryTensors = ModelTensors::new(&weights)
        .read_all()
        .unwrap()
        .into_iter()
        .map(drawn)
        .collect::<kiln_models::StateDict>()
        .into();
    let layout = SaveOptions { config_json: Some(config), ..SaveOptions::default() };
    save(&home.join(name), &model, &weights, layout).unwrap();
    if tokenizer.starts_with("spm") {
        let class = if name == "t5" { "T5Tokenizer" } else { "LlamaTokenizer" };
        fs::copy(format!("{FIXTURES}/{tokenizer}.model"), home.join(name).join("tokenizer.model")).unwrap();
        let said = json!({ "tokenizer_class": class, "extra_ids": 0 }).to_string();
        fs::write(home.join(name).join("tokenizer_config.json"), said).unwrap();
    } else {
        let case: Value =
            serde_json::from_slice(&fs::read(format!("{FIXTURES}/{tokenizer}.cases.json")).unwrap()).unwrap();
        fs::write(home.join(name).join("tokenizer.json"), case["tokenizer"].to_string()).unwrap();
    }
}

fn configs() -> [(&'static str, Value, &'static str); 4] {
    let llama = json!({
        "model_type": "llama", "vocab_size": 600, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    });
    let gpt2 = json!({
        "model_type": "gpt2", "vocab_size": 403, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4,
    });
    let bert = json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 400, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
    });
    let t5 = json!({
        "model_type": "t5", "vocab_size": 170, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "decoder_start_token_id": 3,
    });
    [
        ("llama", llama, "spm_bpe"),
        ("gpt2", gpt2, "byte_level"),
        ("bert", bert, "wordpiece_uncased"),
        ("t5", t5, "spm_unigram"),
    ]
}

#[test]
fn a_gguf_file_gives_the_same_results_as_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    for (name, config, tokenizer) in configs() {
        folder(here, name, &config, tokenizer);
        if name == "bert" {
            fs::write(
                here.join("bert/modules.json"),
                r#"[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]"#,
            )
            .unwrap();
            fs::create_dir(here.join("bert/1_Pooling")).unwrap();
            fs::write(here.join("bert/1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).unwrap();
        }
        let file = format!("{name}.gguf");
        run_kiln(here, &["export", name, "--format", "gguf", "--dtype", "f32", "--out", &file]).expect_success();
        for text in ["The cat's HAT,  naïve 42!", "東京 🙂", ""] {
            let ids = |model: &str| {
                run_kiln(here, &["tokenizer", "encode", model, "--text", text, "--json"]).expect_success().json_output()
            };
            assert_eq!(ids(&file)["ids"], ids(name)["ids"], "{name}: {text:?}");
        }
        let answer = |model: &str, args: &[&str]| {
            run_kiln(
                here,
                &[args, &["--json"]]
                    .concat()
                    .iter()
                    .map(|arg| if *arg == "MODEL" { model } else { *arg })
                    .collect::<Vec<_>>(),
            )
            .expect_success()
            .json_output()
        };
        let args: &[&str] = match name {
            "bert" => &["embed", "MODEL", "--text", "the hat", "--text", "a cat sat"],
            "t5" => &["logits", "MODEL", "--ids", "7,30,12", "--decoder-ids", "3,9"],
            _ => &["logits", "MODEL", "--ids", "7,300,12,299,1"],
        };
        assert_eq!(answer(&file, args), answer(name, args), "{name}");
        // From there it goes back, and on.
        run_kiln(here, &["export", &file, "--format", "hf", "--out", &format!("{name}-back")]).expect_success();
        let back = answer(&format!("{name}-back"), args);
        assert!(name == "bert" || back == answer(name, args), "{name}");
    }
    let says: Value = serde_json::from_slice(&fs::read(here.join("t5-back/config.json")).unwrap()).unwrap();
    assert_eq!(says["decoder_start_token_id"], 3);
}

#[test]
fn weights_are_exported_in_the_requested_dtype() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let (name, config, tokenizer) = configs()[1].clone();
    folder(here, name, &config, tokenizer);
    let size = |folder: &str| fs::metadata(here.join(folder).join("model.safetensors")).unwrap().len();
    for (numbers, told) in [("f16", "float16"), ("bf16", "bfloat16"), ("f32", "float32")] {
        run_kiln(here, &["export", name, "--format", "hf", "--dtype", numbers, "--out", numbers]).expect_success();
        let says: Value = serde_json::from_slice(&fs::read(here.join(numbers).join("config.json")).unwrap()).unwrap();
        assert_eq!(says["dtype"], told);
    }
    assert_eq!(
        fs::read(here.join("f32/model.safetensors")).unwrap(),
        fs::read(here.join("gpt2/model.safetensors")).unwrap()
    );
    assert!(size("f16") * 2 < size("f32") + 9000 && size("bf16").abs_diff(size("f16")) < 999, "{}", size("f16"));
    // What is stored in 16 bits stays as it is from there on.
    run_kiln(here, &["export", "bf16", "--format", "hf", "--dtype", "bf16", "--out", "again"]).expect_success();
    assert_eq!(
        fs::read(here.join("again/model.safetensors")).unwrap(),
        fs::read(here.join("bf16/model.safetensors")).unwrap()
    );
    for (args, told) in
        [(["--format", "hf", "--dtype", "q8_0"], "q8_0"), (["--format", "peft", "--dtype", "f16"], "adapters")]
    {
        let odd = run_kiln(here, &[&["export", name, "--out", "x"], &args[..]].concat());
        assert!(odd.exit_code == Some(2) && odd.stderr.contains("--dtype") && odd.stderr.contains(told), "{odd:?}");
    }
}

#[test]
fn numbers_beyond_16_bits_are_refused_by_their_tensor() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let (name, config, tokenizer) = configs()[1].clone();
    folder(here, name, &config, tokenizer);
    let (_, model) = hf::read_config(&config).unwrap();
    let mut weights = ModelTensors::new(&Model::init(&model, 3, &Device::flex())).read_all().unwrap();
    weights.insert("position.weight".into(), TensorData::new(vec![1e6f32; 64 * 32], [64, 32]));
    let layout = SaveOptions { config_json: Some(&config), ..SaveOptions::default() };
    save(&here.join(name), &model, &InMemoryTensors::from(weights), layout).unwrap();
    let half = run_kiln(here, &["export", name, "--format", "hf", "--dtype", "f16", "--out", "half"]);
    assert!(
        half.exit_code == Some(1) && half.stderr.contains("transformer.wpe.weight") && half.stderr.contains("F16"),
        "{half:?}"
    );
    assert!(!here.join("half/model.safetensors").exists());
    run_kiln(here, &["export", name, "--format", "hf", "--dtype", "bf16", "--out", "brain"]).expect_success();
    // The table of positions is of 32 bits in a .gguf.
    run_kiln(here, &["export", name, "--format", "gguf", "--out", "half.gguf"]).expect_success();
}

#[test]
fn models_that_gguf_cannot_store_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let (name, config, _) = configs()[1].clone();
    folder(here, name, &config, "clip");
    let odd = run_kiln(here, &["export", name, "--format", "gguf", "--out", "x.gguf"]);
    assert!(
        odd.exit_code == Some(1) && odd.stderr.contains("tokenizer") && odd.stderr.contains("--format hf"),
        "{odd:?}"
    );
    assert!(!here.join("x.gguf").exists());
}
