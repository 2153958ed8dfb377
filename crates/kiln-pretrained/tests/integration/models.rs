//! Models that llama.cpp's converter wrote are the models that Hugging Face keeps.

use crate::{bits, bits_of, bytes, gguf, safetensors};
use kiln_models::{hf, tensors::TensorSource};
use kiln_pretrained::gguf::{Array, Metadata, Value, read_as_hf};
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

#[test]
fn tensors_are_the_same_to_the_bit() {
    for name in MODELS {
        let file = gguf(name);
        let (_, tensors) = read_as_hf(file.metadata(), &file).unwrap();
        let want = safetensors(name).into_iter().map(|(name, data)| bits_of(name, &data));
        let (found, want) = (bits(&tensors), want.collect::<Vec<_>>());
        let names = |list: &[(String, Vec<usize>, Vec<u32>)]| list.iter().map(|t| t.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&want), "{name}");
        for (found, want) in found.iter().zip(&want) {
            assert!(found == want, "{name}: {} differs", found.0);
        }
    }
}

#[test]
fn configurations_say_the_same() {
    for name in MODELS {
        let file = gguf(name);
        let (found, _) = read_as_hf(file.metadata(), &file).unwrap();
        let (found, want) = (found.as_object().unwrap().clone(), config(name));
        let mut compared = 0;
        for (key, value) in &found {
            if let Some(want) = want.get(key).filter(|want| !want.is_null()) {
                // The converter has no place for the context's length of T5.
                assert!(same(value, want) || key == "n_positions", "{name}: {key} is {value}, not {want}");
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
        let (json, tensors) = read_as_hf(file.metadata(), &file).unwrap();
        let (family, mut found) = hf::read_config(&json).unwrap();
        let (_, want) = hf::read_config(&config(name)).unwrap();
        // No part of a GGUF file.
        found.dropout = want.dropout;
        let plain = |config| serde_json::to_value(config).unwrap();
        assert_eq!(plain(&found), plain(&want), "{name}");
        hf::load_model(&found, family, &tensors, &burn::tensor::Device::flex()).unwrap();
    }
}

#[test]
fn unsupported_options_are_refused_by_key() {
    let file = gguf("tiny-llama");
    let refusal = |key: &str, value: Value| {
        let mut metadata = file.metadata().clone();
        metadata.set(key, value);
        read_as_hf(&metadata, &file).err().expect("a refusal").to_string()
    };
    let known = refusal("general.architecture", Value::String("lama".into()));
    assert!(known.contains("`lama`") && known.contains("did you mean `llama`?"), "{known}");
    assert!(refusal("llama.expert_count", Value::U32(8)).contains("llama.expert_count"));
    assert!(refusal("llama.rope.scaling.type", Value::String("longrope".into())).contains("`longrope`"));
    assert!(refusal("llama.rope.dimension_count", Value::U32(4)).contains("rope.dimension_count"));
    assert!(refusal("llama.block_count", Value::Array(Array::U32(vec![1]))).contains("an array of 1"));
    assert!(refusal("llama.attention.causal", Value::Bool(false)).contains("llama.attention.causal"));
    assert!(read_as_hf(&Metadata::default(), &file).is_err());
}

#[test]
fn rows_that_do_not_divide_into_heads_are_refused() {
    let file = gguf("tiny-llama");
    let mut metadata = file.metadata().clone();
    for key in ["head_count", "head_count_kv"] {
        metadata.set(format!("llama.attention.{key}"), Value::U32(0));
    }
    assert!(read_as_hf(&metadata, &file).err().unwrap().to_string().contains("head_count"));
    metadata.set("llama.attention.head_count", Value::U32(24));
    let (_, tensors) = read_as_hf(&metadata, &file).unwrap();
    assert!(tensors.read("model.layers.0.self_attn.q_proj.weight").is_err());
}
