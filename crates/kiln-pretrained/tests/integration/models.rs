//! Models that llama.cpp's converter wrote are the models that Hugging Face keeps.

use crate::{bits_of, bytes, exports::block_on, gguf, safetensors};
use burn::tensor::Device;
use kiln_models::{
    ModelConfig,
    hf::{self, Family},
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_pretrained::gguf::{Array, GgufModel, Metadata, Value, read_model};
use serde_json::Value as Json;

pub const MODELS: [&str; 7] =
    ["tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-gpt2", "tiny-bert", "tiny-t5", "tiny-t5-relu"];

pub fn config(name: &str) -> Json {
    serde_json::from_slice(&bytes(&format!("{name}.json"))).expect("a config.json")
}

/// Equal up to floats of 32 bits.
fn same(found: &Json, want: &Json) -> bool {
    match (found.as_f64(), want.as_f64()) {
        (Some(found), Some(want)) => (found - want).abs() <= 1e-6 * want.abs(),
        _ => found == want,
    }
}

/// The parameters of the model in a file of tensors, under these names.
fn parameters(config: &ModelConfig, names: &Family, tensors: &dyn TensorSource) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let model = hf::load_model(config, names, tensors, &Device::flex()).expect("a model");
    let values = block_on(kiln_models::state_dict(&model));
    values.into_iter().map(|(name, data)| bits_of(name, &data)).collect()
}

#[test]
fn weights_are_the_same_to_the_bit() {
    for name in MODELS {
        let file = gguf(name);
        let GgufModel { family, config, .. } = read_model(file.metadata(), &file).unwrap();
        let found = parameters(&config, &family.in_gguf().unwrap(), &file);
        let want = parameters(&config, family, &InMemoryTensors::from(safetensors(name)));
        assert_eq!(found.len(), want.len(), "{name}");
        for (found, want) in found.iter().zip(&want) {
            assert!(found == want, "{name}: {} differs", found.0);
        }
    }
}

#[test]
fn configurations_say_the_same() {
    for name in MODELS {
        let file = gguf(name);
        let found = read_model(file.metadata(), &file).unwrap().config_json;
        let (found, want) = (found.as_object().unwrap().clone(), config(name));
        let mut compared = 0;
        // What has several spellings: `families_read_the_same_model` compares it.
        let respelt = ["rope_parameters", "max_window_layers"];
        for (key, value) in found.iter().filter(|(key, _)| !respelt.contains(&key.as_str())) {
            if let Some(want) = want.get(key).filter(|want| !want.is_null()) {
                // The converter has no place for the context's length of T5, and none for a dropout probability. The class
                // in this T5's file ties its head, whatever the key says.
                let untold = key == "n_positions" || key == "scale_decoder_outputs" || key == "tie_word_embeddings";
                assert!(same(value, want) || untold && name.contains("t5"), "{name}: {key} is {value}, not {want}");
                compared += 1;
            }
        }
        assert!(compared >= 9, "{name}: only {compared} keys were compared");
    }
}

#[test]
fn families_read_the_same_model() {
    for name in ["tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-gpt2", "tiny-bert", "tiny-t5-relu"] {
        let file = gguf(name);
        let GgufModel { family, config: mut found, config_json } = read_model(file.metadata(), &file).unwrap();
        assert_eq!(hf::read_config(&config_json).unwrap().1, found, "{name}");
        let (_, want) = hf::read_config(&config(name)).unwrap();
        // No part of a GGUF file.
        found.dropout = want.dropout;
        let plain = |config| serde_json::to_value(config).unwrap();
        assert_eq!(plain(&found), plain(&want), "{name}");
        hf::load_model(&found, &family.in_gguf().unwrap(), &file, &Device::flex()).unwrap();
    }
}

#[test]
fn unsupported_options_are_refused_by_key() {
    let file = gguf("tiny-llama");
    let refusal = |key: &str, value: Value| {
        let mut metadata = file.metadata().clone();
        metadata.set(key, value);
        read_model(&metadata, &file).expect_err("a refusal").to_string()
    };
    let known = refusal("general.architecture", Value::String("lama".into()));
    assert!(known.contains("`lama`") && known.contains("did you mean `llama`?"), "{known}");
    assert!(refusal("llama.expert_count", Value::U32(8)).contains("llama.expert_count"));
    assert!(refusal("llama.rope.scaling.type", Value::String("longrope".into())).contains("`longrope`"));
    assert!(refusal("llama.rope.dimension_count", Value::U32(4)).contains("rope.dimension_count"));
    assert!(refusal("llama.block_count", Value::Array(Array::U32(vec![1]))).contains("an array of 1"));
    assert!(refusal("llama.attention.causal", Value::Bool(false)).contains("llama.attention.causal"));
    assert!(read_model(&Metadata::default(), &file).is_err());
}

#[test]
fn rows_that_do_not_divide_into_heads_are_refused() {
    let file = gguf("tiny-llama");
    let mut metadata = file.metadata().clone();
    for key in ["head_count", "head_count_kv"] {
        metadata.set(format!("llama.attention.{key}"), Value::U32(0));
    }
    assert!(read_model(&metadata, &file).unwrap_err().to_string().contains("head_count"));
    // More heads than the matrices have rows for.
    for key in ["head_count", "head_count_kv"] {
        metadata.set(format!("llama.attention.{key}"), Value::U32(24));
    }
    let GgufModel { family, config, .. } = read_model(&metadata, &file).unwrap();
    let error = hf::load_model(&config, &family.in_gguf().unwrap(), &file, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("~ blk.0.attn_q.weight: expected [144, 24], found [24, 24]"), "{error}");
}
