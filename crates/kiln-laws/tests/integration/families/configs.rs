//! `config.json`, read and written, and what is refused.

use crate::families::case::{Case, DECODERS};
use kiln_laws::device;
use kiln_models::hf::{self, family, read_config};
use kiln_nn::position::{PositionConfig, RotaryScaling};
use kiln_spec::Pattern;
use serde_json::{Value, json};

fn llama_json(more: Value) -> Value {
    let mut json = json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "vocab_size": 9,
        "num_attention_heads": 4, "max_position_embeddings": 64,
    });
    for (key, value) in more.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

fn parse_scaling(json: Value) -> RotaryScaling {
    match read_config(&llama_json(json)).unwrap().1.position {
        PositionConfig::Rotary(rotary) => rotary.scaling,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_written_configuration_reads_back_equal() {
    for case in DECODERS.map(Case::open) {
        let loaded = case.load(&device());
        let json = loaded.family.config_to_json(loaded.model.config()).unwrap();
        assert_eq!(read_config(&json).unwrap().1, *loaded.model.config(), "{}", case.name);
        // Everything that is written is what the reference wrote, spelling apart.
        for (key, value) in json.as_object().unwrap() {
            let theirs = &loaded.config_json[key];
            let spelling = key == "rope_parameters" || key == "max_window_layers";
            assert!(agrees(value, theirs) || spelling, "{}: {key}: {value}, not {theirs}", case.name);
        }
    }
}

/// Whether a written value is that of the reference's file, or the file has none. A table may have further keys.
fn agrees(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(table), Value::Object(other)) => {
            table.iter().all(|(key, value)| agrees(value, other.get(key).unwrap_or(&Value::Null)))
        }
        _ => ours == theirs || theirs.is_null() || ours.as_f64().is_some() && ours.as_f64() == theirs.as_f64(),
    }
}

#[test]
fn older_files_give_the_same_configuration() {
    let new = json!({ "rope_parameters": { "rope_type": "linear", "rope_theta": 300.0, "factor": 2.0 } });
    let old = json!({ "rope_theta": 300.0, "rope_scaling": { "type": "linear", "factor": 2.0 } });
    assert_eq!(read_config(&llama_json(new)).unwrap().1, read_config(&llama_json(old)).unwrap().1);
    let yarn = json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } });
    let RotaryScaling::Yarn(yarn) = parse_scaling(yarn) else { panic!("yarn") };
    assert_eq!(yarn.original_max_position_embeddings, 64, "what the model was trained for, if nothing else is said");
}

#[test]
fn a_window_that_counts_the_token_itself_becomes_one_less() {
    let case = Case::open("mistral-window");
    let config = case.load(&device()).model.config().clone();
    let patterns: Vec<Pattern> = config
        .blocks
        .iter()
        .flat_map(|block| &block.sublayers[0].parts)
        .map(|part| match part {
            kiln_nn::part::PartConfig::Attention(attention) => attention.pattern.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(patterns, [Pattern::window(3, 0)]);
}

#[test]
fn an_unknown_family_is_refused_with_the_nearest() {
    let refusal = family("lama").unwrap_err().to_string();
    assert!(refusal.contains("\"lama\"") && refusal.contains("did you mean \"llama\"?"), "{refusal}");
    assert!(read_config(&json!({})).unwrap_err().to_string().starts_with("model_type"));
    assert!(read_config(&json!({ "model_type": 3 })).is_err() && read_config(&json!([])).is_err());
}

#[test]
fn an_option_that_kiln_does_not_implement_is_refused_by_its_name() {
    let rope = |kind: &str| json!({ "rope_parameters": { "rope_type": kind, "factor": 2.0 } });
    let cases = [
        (rope("dynamic"), "rope_parameters.rope_type"),
        (rope("longrope"), "rope_parameters.rope_type"),
        (json!({ "hidden_act": "mish" }), "hidden_act"),
        (json!({ "quantization_config": { "bits": 4 } }), "quantization_config"),
        (json!({ "num_hidden_layers": 1u64 << 60 }), "num_hidden_layers"),
        (json!({ "num_hidden_layers": 1u64 << 27 }), "num_hidden_layers"),
        (json!({ "hidden_size": "wide" }), "hidden_size"),
        (json!({ "hidden_size": 0 }), "hidden_size"),
    ];
    for (more, key) in cases {
        let refusal = read_config(&llama_json(more)).unwrap_err();
        assert_eq!(refusal.path, key, "{refusal}");
    }
    let gpt2 = |key: &str, value: Value| {
        let mut json = json!({ "model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1 });
        json[key] = value;
        read_config(&json)
    };
    assert!(gpt2("n_ctx", 1024.into()).is_ok());
    assert_eq!(gpt2("add_cross_attention", true.into()).unwrap_err().path, "add_cross_attention");
    assert!(gpt2("n_head", 0.into()).is_err() && gpt2("n_head", 3.into()).is_err());
    assert!(
        hf::FAMILIES.iter().all(|family| read_config(&json!({ "model_type": family.name })).is_ok()),
        "their defaults"
    );
}

#[test]
fn what_a_family_cannot_say_is_refused_by_its_key() {
    let cases = [
        ("falcon", json!({ "new_decoder_architecture": true, "parallel_attn": false }), "parallel_attn"),
        (
            "falcon",
            json!({ "new_decoder_architecture": true, "num_ln_in_parallel_attn": 3 }),
            "num_ln_in_parallel_attn",
        ),
        ("falcon", json!({ "num_ln_in_parallel_attn": 2 }), "num_ln_in_parallel_attn"),
        ("falcon", json!({ "multi_query": false, "num_kv_heads": 8 }), "num_kv_heads"),
        ("falcon", json!({ "head_dim": 32 }), "head_dim"),
        ("falcon", json!({ "n_embed": 64 }), "n_embed"),
        ("opt", json!({ "layer_norm_elementwise_affine": false }), "layer_norm_elementwise_affine"),
        ("gpt_bigcode", json!({ "add_cross_attention": true }), "add_cross_attention"),
        ("stablelm", json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } }), "rope_scaling.type"),
        ("cohere", json!({ "logit_scale": 0 }), "logit_scale"),
        ("qwen2_moe", json!({ "num_experts": 0 }), "num_experts"),
        ("mpt", json!({ "expansion_ratio": 2 }), "expansion_ratio"),
        ("mpt", json!({ "norm_type": "rmsnorm" }), "norm_type"),
        ("mpt", json!({ "attn_config": { "qk_ln": true } }), "attn_config.qk_ln"),
        ("mpt", json!({ "attn_config": { "alibi": false } }), "attn_config.alibi"),
        ("mpt", json!({ "attn_config": { "rope": true } }), "attn_config.rope"),
        ("mpt", json!({ "attn_config": 3 }), "attn_config"),
    ];
    for (family, mut json, key) in cases {
        json["model_type"] = family.into();
        let refusal = read_config(&json).expect_err(key);
        assert_eq!(refusal.path, key, "{family}: {refusal}");
    }
}

#[test]
fn the_guide_shows_the_file_of_a_family() {
    let guide = include_str!("../../../../../docs/models.md");
    let (file, list) =
        (include_str!("../../../../kiln-models/src/hf/phi3.rs"), include_str!("../../../../kiln-models/src/hf/mod.rs"));
    assert!(guide.contains(file), "the guide's file is another one than\n{file}");
    assert!(list.contains("phi3::FAMILY") && list.contains("mod phi3;"));
    for family in hf::FAMILIES {
        assert!(guide.contains(&format!("| `{}` |", family.name)), "the guide's table lacks {}", family.name);
    }
}
