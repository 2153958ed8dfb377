//! Folders of each method that do not fit their base model or their own options: errors with the key or the tensor.

use super::{base, fixtures};
use kiln_models::{
    StateDict,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_pretrained::{
    files::SafeTensorsFiles,
    peft_format::{PeftFormatError, read_adapters},
};
use serde_json::{Value, json};
use std::fs;

/// The error for a case of `fixtures/peft` with changed options, on a model.
fn error_with(case: &str, model: &str, change: &Value, keep: impl Fn(&str) -> bool) -> PeftFormatError {
    let folder = fixtures().join("peft").join(case);
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let file = SafeTensorsFiles::open(&[folder.join("adapter_model.safetensors")]).unwrap();
    let names = file.entries().keys().filter(|name| keep(name));
    let values: StateDict = names.map(|name| (name.clone(), file.read(name).unwrap())).collect();
    let (model, family) = base(&format!("hf/{model}"));
    read_adapters(&model, Some(family), &config, &InMemoryTensors::from(values)).expect_err(case)
}

fn refusal(case: &str, model: &str, change: Value) -> String {
    error_with(case, model, &change, |_| true).to_string()
}

/// The error for a case without the tensors whose name contains a text.
fn refusal_without(case: &str, model: &str, part: &str) -> String {
    error_with(case, model, &json!({}), |name| !name.contains(part)).to_string()
}

#[test]
fn an_adapter_for_another_base_is_refused_by_its_tensors() {
    let said = refusal("ia3", "qwen2-tied", json!({}));
    assert!(said.contains("~ base_model.model.model.layers.0.self_attn.k_proj.ia3_l: expected ["), "{said}");
    let said = refusal("dora", "gpt2-tied", json!({}));
    assert!(said.contains("model.layers.0.") && said.contains("no module with this name"), "{said}");
    let said = refusal("prompt", "gpt2-tied", json!({}));
    assert!(said.contains("~ prompt_embeddings: expected [3, 12], found [3, 16]"), "{said}");
    let said = refusal("vera", "qwen2-tied", json!({}));
    assert!(said.contains("~ base_model.") && said.contains("vera_"), "{said}");
}

#[test]
fn a_wrong_rank_is_refused_by_the_tensors() {
    let said = refusal("dora", "llama-biases", json!({ "rank_pattern": {} }));
    assert!(said.contains("layers.0.self_attn.v_proj.lora_A.weight: expected [2, 16], found [3, 16]"), "{said}");
    let said = refusal("experts", "qwen3_moe-mixed", json!({ "r": 3 }));
    assert!(said.contains("layers.1.mlp.experts.lora_A.weight: expected [12, 8], found [8, 8]"), "{said}");
    let said = refusal("prompt", "llama-biases", json!({ "num_virtual_tokens": 4 }));
    assert!(said.contains("~ prompt_embeddings: expected [4, 16], found [3, 16]"), "{said}");
    let said = refusal("vera", "llama-biases", json!({ "r": 6 }));
    assert!(said.contains("~ base_model.vera_A: expected [6,"), "{said}");
}

#[test]
fn missing_tensors_are_listed_by_name() {
    let said = refusal_without("dora", "llama-biases", "layers.1.self_attn.q_proj.lora_B");
    assert!(said.contains("- base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"), "{said}");
    let said = refusal_without("dora", "llama-biases", "layers.1.self_attn.q_proj.lora_magnitude");
    assert!(said.contains("use_dora") && said.contains("model.layers.1.self_attn.q_proj"), "{said}");
    let said = refusal_without("vera", "llama-biases", "vera_A");
    assert!(said.contains("- base_model.vera_A"), "{said}");
    let said = refusal_without("vera", "llama-biases", "layers.0.self_attn.k_proj.vera_lambda_d");
    assert!(said.contains("- base_model.model.model.layers.0.self_attn.k_proj.vera_lambda_d"), "{said}");
    let said = refusal_without("experts", "qwen3_moe-mixed", "mlp.experts.lora_B");
    assert!(said.contains("- base_model.model.model.layers.1.mlp.experts.lora_B.weight"), "{said}");
    let said = refusal_without("prompt", "llama-biases", "prompt");
    assert!(said.contains("target_modules") || said.contains("prompt_embeddings"), "{said}");
}

#[test]
fn what_a_method_cannot_do_is_refused_by_its_key() {
    for (case, model, key, value) in [
        ("experts", "qwen3_moe-mixed", "lora_dropout", json!(0.1)),
        ("experts", "qwen3_moe-mixed", "use_dora", json!(true)),
        ("dora-embedding", "llama-llama3", "use_dora", json!(false)),
        ("dora", "llama-biases", "use_dora", json!(false)),
        ("prompt", "llama-biases", "num_transformer_submodules", json!(2)),
        ("prompt", "llama-biases", "prompt_tuning_init", json!("ZEROS")),
        ("vera", "llama-biases", "bias", json!("lora_only")),
        ("ia3", "llama-biases", "feedforward_modules", json!("(")),
        ("ia3", "llama-biases", "lora_alpha", json!(3)),
    ] {
        let error = error_with(case, model, &json!({ key: value }), |_| true);
        let PeftFormatError::Config(error) = error else { panic!("{case}, {key}: {error}") };
        assert_eq!(error.path, key, "{case}: {error}");
    }
}

/// A float type that Kiln does not read.
#[test]
fn an_unread_type_is_named_with_its_tensor() {
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let other = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    let header = json!({
        name: { "dtype": "F8_E5M2", "shape": [2, 16], "data_offsets": [0, 32] },
        other: { "dtype": "F32", "shape": [24, 2], "data_offsets": [32, 224] },
    });
    let header = header.to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 224]].concat();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adapter_model.safetensors");
    fs::write(&file, bytes).unwrap();
    let file = SafeTensorsFiles::open(&[file]).unwrap();
    let (model, family) = base("hf/llama-biases");
    let config = json!({ "peft_type": "LORA", "r": 2, "target_modules": ["q_proj"] });
    let said = read_adapters(&model, Some(family), &config, &file).expect_err("another type").to_string();
    assert!(said.contains(name) && said.contains("F8_E5M2"), "{said}");
}
