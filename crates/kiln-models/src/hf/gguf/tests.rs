use super::*;
use crate::{StateDict, hf::FAMILIES, tensors::InMemoryTensors};
use burn::tensor::TensorData;
use serde_json::json;

/// Tables of 7 tokens and 5 positions.
fn tables() -> InMemoryTensors {
    let tables = [("token_embd.weight", 7), ("position_embd.weight", 5)];
    let tables = tables.map(|(name, rows)| (name.to_owned(), TensorData::zeros::<f32, _>([rows, 4])));
    InMemoryTensors::from(StateDict::from(tables))
}

/// The model of a file with these metadata.
fn read(architecture: &str, metadata: Value) -> Result<Value, ValidationError> {
    let model = read_metadata(architecture, metadata.as_object().unwrap(), &tables())?;
    Ok(crate::hf::family::normalized_json(&model.config))
}

/// Metadata of an encoder of 5 layers.
fn encoder(more: Value) -> Value {
    let mut metadata = json!({
        "embedding_length": 4, "feed_forward_length": 6, "block_count": 5, "attention.head_count": 2, "attention.causal": false,
    });
    let more = more.as_object().unwrap().clone();
    metadata.as_object_mut().unwrap().extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    metadata
}

#[test]
fn architectures_are_listed_once() {
    let names = architectures();
    assert!(names.len() >= 15 && names.contains(&"qwen3moe"), "{names:?}");
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn every_column_names_holes_that_its_family_has() {
    for family in FAMILIES {
        let Some(gguf) = family.gguf else { continue };
        let named = gguf.fixed.iter().map(|(hole, _)| *hole).chain(gguf.renamed.iter().map(|(hole, _)| *hole));
        for hole in named {
            assert!(family.template.contains(&format!("\"${hole}")), "{}: no hole `{hole}`", family.name);
        }
    }
}

#[test]
fn a_family_without_an_architecture_is_refused_by_name() {
    let error = crate::hf::family("gptj").unwrap().gguf().err().unwrap();
    assert_eq!(error.path, "model_type");
    assert!(error.reason.contains("`gptj`") && error.suggestion.unwrap().contains("`mixtral`"));
}

#[test]
fn the_full_layers_of_modern_bert_are_the_first_of_each_group() {
    // The bases of all layers; those of layers with a window of two tokens on each side are negative.
    let bases = |pattern: Value| {
        let mut windows = json!({ "attention.sliding_window": 5, "rope.freq_base": 300.0, "rope.freq_base_swa": 20.0 });
        windows["attention.sliding_window_pattern"] = pattern;
        let model = read("modern-bert", encoder(windows)).unwrap();
        let base = |block: &Value| {
            let attention = &block["sublayers"][0]["parts"][0]["attention"];
            let is_local = attention["pattern"] == json!({ "window": { "before": 2, "after": 2 } });
            attention["position"]["rotary"]["theta"].as_f64().unwrap() * if is_local { -1.0 } else { 1.0 }
        };
        model["blocks"].as_array().unwrap().iter().map(base).collect::<Vec<_>>()
    };
    assert_eq!(bases(Value::Null), [300.0, -20.0, -20.0, 300.0, -20.0]);
    assert_eq!(bases(json!(2)), [300.0, -20.0, 300.0, -20.0, 300.0]);
    assert_eq!(bases(json!(0)), [-20.0; 5]);
    assert_eq!(bases(json!([true, true, false, true, true])), [-20.0, -20.0, 300.0, -20.0, -20.0]);
    let scaled = json!({ "rope.scaling.type": "linear", "rope.scaling.factor": 2.0 });
    assert_eq!(read("modern-bert", encoder(scaled)).unwrap_err().path, "modern-bert.rope.scaling.type");
}

#[test]
fn modern_bert_states_its_activation() {
    let activation = |more: Value| {
        let model = read("modern-bert", encoder(more))?;
        Ok::<_, ValidationError>(model["blocks"][0]["sublayers"][1]["parts"][0]["gated_mlp"]["activation"].clone())
    };
    assert_eq!(activation(json!({})).unwrap(), "gelu");
    assert_eq!(activation(json!({ "hidden_activation": "silu" })).unwrap(), "silu");
    let error = activation(json!({ "hidden_activation": "mish" })).unwrap_err();
    assert_eq!(error.path, "modern-bert.hidden_activation");
}

#[test]
fn bert_without_token_types_is_distilbert_with_its_epsilon() {
    let with = |epsilon: f32| read("bert", encoder(json!({ "attention.layer_norm_epsilon": epsilon })));
    assert!(with(1e-12).is_ok());
    assert_eq!(with(1e-5).unwrap_err().path, "token_types.weight");
    let distilbert = crate::hf::family("distilbert").unwrap();
    let metadata = encoder(json!({ "attention.layer_norm_epsilon": 1e-5 }));
    let error = distilbert.read_gguf(&distilbert.gguf().unwrap(), metadata.as_object().unwrap(), &tables());
    assert_eq!(error.unwrap_err().path, "bert.attention.layer_norm_epsilon");
}

#[test]
fn heads_of_layers_say_which_have_attention() {
    let with = |heads: Value| {
        let metadata = json!({
            "embedding_length": 4, "feed_forward_length": 6, "block_count": 2, "attention.head_count": 2,
            "attention.head_count_kv": heads, "shortconv.l_cache": 3,
        });
        read("lfm2", metadata).map(|model| {
            let part = |layer: usize| model["blocks"][layer]["sublayers"][0]["parts"][0].clone();
            [0, 1].map(|layer| part(layer)["attention"]["projection"]["heads"]["kv_heads"].clone())
        })
    };
    assert_eq!(with(json!([0, 1])).unwrap(), [Value::Null, json!(1)]);
    assert_eq!(with(json!([1, 0])).unwrap(), [json!(1), Value::Null]);
    for other in [json!([2, 1]), json!([1, 0, 1]), json!([-1, 1]), json!(null)] {
        assert_eq!(with(other).unwrap_err().path, "lfm2.attention.head_count_kv");
    }
}

#[test]
fn the_width_of_experts_may_be_stated_under_two_names() {
    // As llama.cpp's converter writes a model of gpt-oss.
    let with = |width: usize| {
        let metadata = json!({
            "context_length": 131072, "embedding_length": 4, "block_count": 3, "attention.head_count": 2,
            "attention.head_count_kv": 1, "attention.key_length": 2, "attention.value_length": 2,
            "attention.layer_norm_rms_epsilon": 1e-5, "attention.sliding_window": 4, "expert_count": 3,
            "expert_used_count": 2, "expert_feed_forward_length": 6, "feed_forward_length": width, "rope.freq_base": 300.0,
            "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 24,
        });
        read("gpt-oss", metadata)
    };
    let model = with(6).unwrap();
    let part = |layer: usize, sublayer: usize| &model["blocks"][layer]["sublayers"][sublayer]["parts"][0];
    assert_eq!(part(0, 1)["experts"]["expert"]["gated_mlp"]["intermediate"], 6);
    let [first, second, third] = [0, 1, 2].map(|layer| &part(layer, 0)["attention"]["pattern"]);
    assert!(first["window"]["before"] == 3 && second["window"].is_null() && first == third, "{first} {second} {third}");
    assert_eq!(with(8).unwrap_err().path, "gpt-oss.feed_forward_length");
}
