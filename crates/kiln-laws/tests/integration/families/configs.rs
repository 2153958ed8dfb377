//! `config.json`, read and written, and what is refused.

use crate::families::case::{Case, DECODERS};
use kiln_laws::{device, values};
use kiln_models::{
    hf::{self, family, read_config},
    tensors::InMemoryTensors,
};
use kiln_nn::position::{PositionConfig, RotaryScaling};
use kiln_pretrained::files::ModelFolder;
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
            // LFM2 reduces the width of the feed-forward part; Kiln writes the reduced one.
            let reduced = loaded.config_json["block_auto_adjust_ff_dim"] == true
                && (key == "intermediate_size" || key == "block_auto_adjust_ff_dim");
            let spelling = key == "rope_parameters" || key == "max_window_layers" || reduced;
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
fn infinity_is_read_as_python_writes_it() {
    let case = Case::open("mamba2-groups");
    let loaded = case.load(&device());
    let text = loaded.config_json.to_string();
    let bare = text.replace(r#"{"__float__":"Infinity"}"#, "Infinity");
    assert!(bare.len() < text.len() && serde_json::from_str::<Value>(&bare).is_err());
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(case.folder.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), bare).unwrap();
    let older = kiln_pretrained::files::load(folder.path(), &device()).unwrap();
    assert_eq!(older.model.config(), loaded.model.config());
}

#[test]
fn layers_of_multi_token_prediction_are_ignored() {
    let case = Case::open("deepseek_v3-plain");
    let loaded = case.load(&device());
    let mut tensors = ModelFolder::open(&case.folder).unwrap().tensors().read_all().unwrap();
    let layer = tensors.get("model.layers.0.input_layernorm.weight").unwrap().clone();
    // The model has layer 0 alone.
    for name in ["model.layers.1.enorm.weight", "model.layers.2.shared_head.norm.weight"] {
        tensors.insert(name.into(), layer.clone());
    }
    let load =
        |tensors| hf::load_model(loaded.model.config(), loaded.family, &InMemoryTensors::from(tensors), &device());
    assert_eq!(values(&load(tensors.clone()).unwrap()), values(&loaded.model));
    tensors.insert("model.layers.0.enorm.weight".into(), layer);
    let error = load(tensors).unwrap_err().to_string();
    assert!(error.contains("model.layers.0.enorm.weight") && !error.contains("model.layers.1."), "{error}");
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
        (rope("proportional"), "rope_parameters.rope_type"),
        (rope("longrope"), "rope_parameters.short_factor"),
        (json!({ "hidden_act": "mish" }), "hidden_act"),
        (json!({ "quantization_config": { "bits": 4 } }), "quantization_config.quant_method"),
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
fn keys_of_published_files_give_the_defaults_of_their_class() {
    // ModernBERT-base, Mamba-Codestral-7B, electra-small-generator, distilbert-base-uncased, and the older keys of LFM2.
    let files = [
        json!({
            "model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "attention_bias": false,
            "attention_dropout": 0.0, "classifier_activation": "gelu", "classifier_bias": false, "classifier_pooling": "mean",
            "decoder_bias": true, "deterministic_flash_attn": false, "embedding_dropout": 0.0,
            "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "hidden_activation": "gelu", "hidden_size": 768,
            "initializer_cutoff_factor": 2.0, "intermediate_size": 1152, "layer_norm_eps": 1e-05, "local_attention": 128,
            "local_rope_theta": 10000.0, "max_position_embeddings": 8192, "mlp_bias": false, "norm_bias": false,
            "norm_eps": 1e-05, "num_attention_heads": 12, "num_hidden_layers": 22, "position_embedding_type": "absolute",
            "reference_compile": null, "sparse_prediction": false, "tie_word_embeddings": true, "vocab_size": 50368,
        }),
        json!({
            "model_type": "mamba2", "chunk_size": 256, "conv_kernel": 4, "expand": 2, "head_dim": 64, "hidden_size": 4096,
            "intermediate_size": 8192, "layer_norm_epsilon": 1e-05, "n_groups": 8, "norm_before_gate": true, "num_heads": 128,
            "num_hidden_layers": 64, "residual_in_fp32": true, "rms_norm": true, "state_size": 128,
            "time_step_limit": [0.0, { "__float__": "Infinity" }], "time_step_rank": 256, "use_bias": false,
            "use_conv_bias": true, "vocab_size": 32768,
        }),
        json!({
            "model_type": "electra", "architectures": ["ElectraForMaskedLM"], "classifier_dropout": null,
            "embedding_size": 128, "generator_size": "0.25", "hidden_size": 256, "num_attention_heads": 4,
            "position_embedding_type": "absolute", "summary_type": "first", "summary_use_proj": true, "type_vocab_size": 2,
        }),
        json!({
            "model_type": "distilbert", "activation": "gelu", "dim": 768, "dropout": 0.1, "hidden_dim": 3072, "n_heads": 12,
            "n_layers": 6, "sinusoidal_pos_embds": false, "tie_weights_": true, "vocab_size": 30522,
        }),
        json!({
            "model_type": "lfm2", "architectures": ["Lfm2ForCausalLM"], "block_auto_adjust_ff_dim": true, "block_dim": 2560,
            "block_ff_dim": 12288, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256, "block_norm_eps": 1e-05,
            "block_use_swiglu": true, "conv_L_cache": 3, "conv_dim": 2560, "hidden_size": 2560, "intermediate_size": 7,
            "full_attn_idxs": (0..32).collect::<Vec<_>>(), "num_heads": 32, "rope_theta": 1000000.0, "tie_embedding": true,
            "tie_word_embeddings": false, "use_pos_enc": true, "vocab_size": 65536,
        }),
    ];
    for file in files {
        let default = read_config(&json!({ "model_type": file["model_type"] })).unwrap().1;
        assert_eq!(hf::config_diff(&read_config(&file).unwrap().1, &default), [], "{}", file["model_type"]);
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused_by_name() {
    let yarn = json!({ "rope_type": "linear", "factor": 2.0, "mscale_all_dim": 1.0 });
    let cases = [
        ("deepseek_v3", "num_key_value_heads", json!(64), "num_key_value_heads"),
        ("deepseek_v3", "scoring_func", json!("softmax"), "scoring_func"),
        ("deepseek_v3", "rope_scaling", yarn, "rope_scaling.mscale_all_dim"),
        ("mamba2", "expand", json!(3), "expand"),
        ("mamba2", "time_step_limit", json!([0.1]), "time_step_limit"),
        ("mamba2", "hidden_act", json!("gelu"), "hidden_act"),
        ("lfm2", "layer_types", json!(["conv"]), "layer_types"),
        ("lfm2", "full_attn_idxs", json!(3), "full_attn_idxs"),
        ("lfm2", "block_ff_dim", json!(0), "block_ff_dim"),
        ("modernbert", "layer_types", json!(["full_attention"]), "layer_types"),
        ("modernbert", "classifier_pooling", json!("max"), "classifier_pooling"),
        ("electra", "embedding_size", json!(0), "embedding_size"),
    ];
    for (family, key, value, path) in cases {
        let mut json = json!({ "model_type": family });
        json[key] = value;
        let refusal = read_config(&json).unwrap_err();
        assert_eq!(refusal.path, path, "{family}: {refusal}");
    }
}
