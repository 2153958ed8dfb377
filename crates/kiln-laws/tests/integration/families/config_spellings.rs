//! Many spellings of `config.json` give the logits that the reference code gives (`tools/fixtures_config.py`).

use crate::families::case::{logits, relative_difference, to_vec};
use kiln_laws::{device, fixture::Fixture};
use kiln_models::hf::{self, ConfigWarning, config_diff};
use kiln_pretrained::files::SafeTensorsFiles;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/hf-config")
}

/// The cases: the model type that the weights are of, and `config.json`.
fn cases() -> Map<String, Value> {
    let text = std::fs::read(folder().join("cases.json")).expect("cases");
    serde_json::from_slice(&text).expect("cases by name")
}

/// Texts of the warnings of a case.
fn warnings(case: &Value) -> Vec<String> {
    let (_, _, warnings) = hf::read_config_with_warnings(&case["config"]).expect("a configuration");
    warnings.iter().map(ConfigWarning::to_string).collect()
}

#[test]
fn every_spelling_gives_the_logits_of_the_reference() {
    let reference = Fixture::open("hf-config/expected");
    let ids: Vec<u32> = reference.values("ids").1.into_iter().map(|id| id as u32).collect();
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    for (name, case) in &cases {
        let (family, config) = hf::read_config(&case["config"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = folder().join(case["weights"].as_str().expect("a name")).with_extension("safetensors");
        let tensors = SafeTensorsFiles::open(&[file]).expect("weights");
        let model =
            hf::load_model(&config, family, &tensors, &device()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = to_vec(logits(&model, &ids, &[ids.len()], None));
        let expected = reference.values(name).1;
        let difference = relative_difference(&found[found.len() - expected.len()..], &expected);
        assert!(difference < 1e-4, "{name}: {difference:.1e}");
    }
}

#[test]
fn every_spelling_is_written_back() {
    for (name, case) in cases() {
        let (family, config) = hf::read_config(&case["config"]).unwrap();
        let written = family.config_to_json(&config).unwrap_or_else(|(_, error)| panic!("{name}: {error}"));
        let (_, read_back, warnings) = hf::read_config_with_warnings(&written).unwrap();
        assert!(config_diff(&config, &read_back).is_empty() && warnings.is_empty(), "{name}: {warnings:?}");
    }
}

#[test]
fn what_has_no_effect_is_named() {
    let cases = cases();
    let expected = [
        (
            "llama-foreign-keys",
            vec![
                "keys that `llama` does not read are ignored: attn_logit_softcapping, hiden_size, max_sequence_length, \
             mm_hidden_size, rope_interleaved, unsloth_fixed, unsloth_version, use_qk_norm",
            ],
        ),
        ("llama-yarn-finetuned", vec!["keys that `llama` does not read are ignored: rope_scaling.finetuned"]),
        ("llama-default-factor", vec!["keys that `llama` does not read are ignored: rope_scaling.factor"]),
        ("llama-linear-both", vec!["rope_parameters: ignored, because `rope_scaling` has precedence"]),
        (
            "llama-partial",
            vec!["partial_rotary_factor: 0.5 is ignored, because `llama` always rotates all dimensions of a head"],
        ),
        ("llama-dropout", vec!["attention_dropout: 0.1 acts in training only, and Kiln trains `llama` without it"]),
        (
            "gpt2-dropouts",
            vec![
                "embd_pdrop: 0.2 differs from `resid_pdrop`: Kiln trains with one dropout probability, 0.1",
                "attn_pdrop: 0 differs from `resid_pdrop`: Kiln trains with one dropout probability, 0.1",
            ],
        ),
    ];
    for (name, mut lines) in expected {
        let mut found = warnings(&cases[name]);
        // The order of keys is that of the file.
        for line in &mut found {
            if let Some((start, keys)) = line.split_once(": ").filter(|_| line.starts_with("keys")) {
                let mut keys: Vec<&str> = keys.split(", ").collect();
                keys.sort_unstable();
                *line = format!("{start}: {}", keys.join(", "));
            }
        }
        found.sort();
        lines.sort_unstable();
        assert_eq!(found, lines, "{name}");
    }
    for silent in ["llama", "llama-yarn", "llama-yarn-newer", "phi3-partial", "gpt2-aliases", "qwen2-yarn"] {
        assert_eq!(warnings(&cases[silent]), [""; 0], "{silent}");
    }
}

/// A configuration of a model type with some keys.
fn read(model_type: &str, keys: Value) -> Result<Vec<String>, String> {
    let mut json = json!({ "model_type": model_type });
    for (key, value) in keys.as_object().expect("keys") {
        json[key] = value.clone();
    }
    let read = hf::read_config_with_warnings(&json).map_err(|error| error.to_string());
    read.map(|(_, _, warnings)| warnings.iter().map(ConfigWarning::to_string).collect())
}

#[test]
fn a_misspelled_key_is_ignored_with_the_key_that_it_may_mean() {
    let warnings = read("llama", json!({ "hiden_size": 64 })).unwrap();
    assert_eq!(warnings, ["keys that `llama` does not read are ignored: hiden_size (did you mean `hidden_size`?)"]);
    // The file has that key.
    assert_eq!(
        read("llama", json!({ "hiden_size": 64, "hidden_size": 64 })).unwrap(),
        ["keys that `llama` does not read are ignored: hiden_size"]
    );
    assert_eq!(read("llama", json!({ "extra": null, "off": false, "none": [] })).unwrap(), [""; 0]);
}

#[test]
fn a_key_that_the_reference_uses_and_kiln_does_not_is_refused() {
    let refused = [
        ("llama", json!({ "attention_chunk_size": 64 }), "attention_chunk_size"),
        ("llama", json!({ "layer_types": ["chunked_attention"] }), "layer_types"),
        ("llama", json!({ "sliding_window": 4 }), "sliding_window"),
        ("llama", json!({ "per_layer_config": { "0": { "head_dim": 4 } } }), "per_layer_config"),
        ("llama", json!({ "is_encoder_decoder": true }), "is_encoder_decoder"),
        ("qwen2", json!({ "kv_sharing_modes": ["own"] }), "kv_sharing_modes"),
        ("bert", json!({ "is_decoder": true }), "is_decoder"),
        ("roberta", json!({ "add_cross_attention": true }), "add_cross_attention"),
        ("gpt2", json!({ "add_cross_attention": true }), "add_cross_attention"),
        ("t5", json!({ "is_causal": false }), "is_causal"),
        ("llama", json!({ "transformers_weights": "other.safetensors" }), "transformers_weights"),
    ];
    for (model_type, keys, key) in refused {
        let error = read(model_type, keys).expect_err(key);
        assert!(error.starts_with(key), "{model_type}: {error}");
    }
}

#[test]
fn what_kiln_does_not_read_is_refused_by_its_right_name() {
    let refused = [
        (json!({ "quantization_config": { "quant_method": "hqq", "bits": 4 } }), "weights quantized by hqq, 4 bits"),
        (
            json!({ "quantization_config": { "quant_method": "gptq", "bits": 3 } }),
            "quantization_config.bits: expected 4 or 8 bits",
        ),
        (json!({ "quantization_config": { "bits": 4 } }), "weights quantized by an unnamed method, 4 bits"),
        (json!({ "rope_scaling": { "type": "dynamic" } }), "rope_scaling.factor: expected a number, found none"),
        (
            json!({ "rope_parameters": { "rope_type": "longrope" } }),
            "rope_parameters.short_factor: expected a list of numbers, found none",
        ),
        (
            json!({ "rope_scaling": { "type": "longrope", "short_factor": 1.0, "long_factor": [1.0] } }),
            "rope_scaling.short_factor: expected a list of numbers",
        ),
        (
            json!({ "rope_scaling": { "type": "longrope", "short_factor": [1.0], "long_factor": [1.0] } }),
            "rope_scaling.short_factor: expected 64 numbers, one for each pair of rotated dimensions of a head, found 1",
        ),
        (json!({ "rope_scaling": { "type": "ntk", "factor": 2.0 } }), "unsupported rotary scaling \"ntk\" of `llama`"),
        (json!({ "rope_scaling": { "type": "linear", "factor": "2.0" } }), "rope_scaling.factor: expected a number"),
        (json!({ "rope_scaling": { "type": "linear" } }), "rope_scaling.factor: expected a number, found none"),
        (json!({ "rope_scaling": [1] }), "rope_scaling: expected an object"),
        (
            json!({ "rope_parameters": { "full_attention": { "rope_type": "linear" } } }),
            "rope_parameters.full_attention: expected one table of rotary parameters for all layers",
        ),
        (
            json!({ "rope_scaling": { "type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5 } }),
            "rope_scaling.partial_rotary_factor: `llama` with rope_type \"linear\" rotates whole heads only, found 0.5",
        ),
        (json!({ "rope_scaling": { "type": "yarn", "factor": 2.0, "attention_factor": 0.0 } }), "attention_factor"),
        (
            json!({ "rope_scaling": { "type": "yarn", "factor": 2.0, "original_max_position_embeddings": 0 } }),
            "rope_scaling.original_max_position_embeddings: expected at least 1 token, found 0",
        ),
    ];
    for (keys, text) in refused {
        let error = read("llama", keys).expect_err(text);
        assert!(error.contains(text), "{error}");
    }
    let missing = "rope_scaling.short_factor: expected a list of numbers, found none";
    for (kind, text) in [("su", missing), ("yarn", missing), ("linear", "of `phi3`"), ("dynamic", "of `phi3`")] {
        let error = read("phi3", json!({ "rope_scaling": { "type": kind, "factor": 2.0 } })).expect_err(kind);
        assert!(error.contains(text), "{error}");
    }
    // 9 of 12 dimensions.
    let odd = json!({ "hidden_size": 12, "num_attention_heads": 1, "partial_rotary_factor": 0.75 });
    let error = read("phi3", odd).unwrap_err();
    assert!(error.contains("partial_rotary_factor") && error.contains("0.75, which gives 9"), "{error}");
}

#[test]
fn a_file_that_is_no_text_model_says_what_it_is() {
    let llava = json!({ "model_type": "llava", "text_config": { "model_type": "llama" } });
    let error = hf::read_config(&llava).unwrap_err();
    assert!(error.suggestion.as_deref().unwrap().contains("text model (text_config: \"llama\")"), "{error:?}");
    let unnamed = json!({ "architectures": ["GPT2LMHeadModel"], "n_embd": 8 });
    let error = hf::read_config(&unnamed).unwrap_err();
    assert_eq!(error.path, "model_type");
    assert!(error.suggestion.as_deref().unwrap().contains("\"model_type\": \"gpt2\""), "{error:?}");
}

/// A key that is absent has the default of the reference's class.
#[test]
fn absent_keys_have_the_defaults_of_the_reference() {
    let list: Value = serde_json::from_str(include_str!("../../../../kiln-models/src/hf/config_keys.json")).unwrap();
    for family in hf::FAMILIES {
        for name in family.aliases.iter().chain([&family.name]) {
            let mut explicit = json!({ "model_type": name });
            for (key, default) in list["model_types"][name]["keys"].as_object().expect("keys") {
                if !default.is_null() {
                    explicit[key] = default.clone();
                }
            }
            let (_, absent) = hf::read_config(&json!({ "model_type": name })).unwrap();
            let (_, given) = hf::read_config(&explicit).unwrap();
            assert_eq!(config_diff(&absent, &given), [], "{name}");
        }
    }
}
