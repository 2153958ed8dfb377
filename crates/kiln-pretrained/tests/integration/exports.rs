//! What Kiln writes is read back, and is what was written.

use crate::{
    models::{MODELS, config},
    safetensors,
};
use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::tokenizer::{GgufTokenizer, TokenRoles};
use kiln_kernels::packed::{GgmlType, quantize::quantize};
use kiln_models::{
    ModelTensors, StateDict, hf,
    tensors::{InMemoryTensors, TensorSource, WeightDtype},
};
use kiln_nn::{Context, head::Pooling};
use kiln_pretrained::gguf::{ExportError, GgufExport, GgufModel, GgufReader, read_model, read_tokenizer};
use kiln_spec::Layout;
use serde_json::{Value, json};

pub fn sample_tokenizer() -> GgufTokenizer {
    GgufTokenizer {
        model: "gpt2".into(),
        pre: Some("default".into()),
        tokens: (0..29).map(|id| format!("t{id}")).collect(),
        token_types: vec![1; 29],
        merges: vec!["t 1".into()],
        roles: TokenRoles { bos: Some(1), eos: Some(2), ..TokenRoles::default() },
        add_bos: Some(true),
        add_sep: Some(false),
        other_token_ids: [("eot".into(), 3)].into(),
        add_space_prefix: Some(false),
        precompiled_charsmap: vec![0, 255],
        chat_template: Some("{{ messages }}".into()),
        ..GgufTokenizer::default()
    }
}

fn written(config_json: &Value, weights: &dyn TensorSource, numbers: WeightDtype) -> Result<Vec<u8>, ExportError> {
    let (mut out, tokenizer) = (Vec::new(), sample_tokenizer());
    let (name, pooling) = ("tiny", Some(Pooling::First));
    let export = GgufExport {
        name,
        config_json,
        weights,
        dtype: numbers,
        default_context_length: 7,
        pooling,
        tokenizer: Some(&tokenizer),
        metadata: None,
    };
    export.write(&mut out).map(|()| out)
}

/// As the packing keeps them.
fn rounded(values: &[f32], packing: &str) -> Vec<f32> {
    let packing = GgmlType::from_name(packing).unwrap();
    let mut out = vec![0.0; values.len()];
    packing.dequantize(&quantize(packing, values).unwrap(), &mut out);
    out
}

/// The whole `config.json` of a model, and its weights under Kiln's names.
fn original(name: &str) -> (Value, StateDict) {
    let (mut given, mut tensors) = (config(name), safetensors(name));
    if name == "tiny-t5" {
        // Files know no head that shares the embedding and doesn't scale: here it has its own.
        given["tie_word_embeddings"] = false.into();
        let numbers: Vec<f32> = tensors["shared.weight"].iter::<f32>().map(|x| x / 3.0).collect();
        tensors.insert("lm_head.weight".into(), TensorData::new(numbers, [29, 24]));
    }
    let (_, config) = hf::read_config(&given).unwrap();
    (hf::to_config_json(&config, Some(&given)).unwrap().1, weights_of(&given, tensors))
}

/// The weights of tensors under Hugging Face names.
fn weights_of(config_json: &Value, tensors: StateDict) -> StateDict {
    let (family, config) = hf::read_config(config_json).unwrap();
    let model = hf::load_model(&config, family, &InMemoryTensors::from(tensors), &Device::flex()).unwrap();
    block_on(kiln_models::state_dict(&model))
}

/// The tensors of a file that holds these weights in f32.
fn in_gguf(config_json: &Value, weights: &StateDict) -> StateDict {
    let (family, config) = hf::read_config(config_json).unwrap();
    let weights = InMemoryTensors::from(weights.clone());
    hf::export_tensors(&config, &family.in_gguf().unwrap(), &weights).unwrap().read_all().unwrap()
}

/// What the model of a file makes of some tokens.
fn outputs(found: &GgufModel, tensors: &dyn TensorSource) -> Vec<f32> {
    let GgufModel { family, config, .. } = found;
    let model = hf::load_model(config, &family.in_gguf().unwrap(), tensors, &Device::flex()).unwrap();
    let ids = [7, 3, 11, 28, 3];
    let layout = Layout::from_offsets(&[0], &[ids.len()], ids.len(), config.visibility.direction(2));
    let mut cx = Context::new(&layout, &Device::flex());
    let tokens = Tensor::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &Device::flex());
    model.encode(Tensor::clone(&tokens), &layout, &mut cx);
    let hidden = model.forward(tokens, &mut cx);
    model.outputs(hidden, &cx).into_data().try_into_vec().unwrap()
}

#[test]
fn exported_files_are_read_back() {
    let each = [WeightDtype::F32, WeightDtype::F16, WeightDtype::BF16, WeightDtype::Q8_0];
    for (name, numbers) in MODELS.into_iter().flat_map(|name| each.map(|numbers| (name, numbers))) {
        let (json, tensors) = original(name);
        let file = GgufReader::open(written(&json, &InMemoryTensors::from(tensors.clone()), numbers).unwrap()).unwrap();
        assert_eq!(read_tokenizer(file.metadata()).unwrap().unwrap(), sample_tokenizer());
        let found = read_model(file.metadata(), &file).unwrap();
        let mut kept = StateDict::new();
        for (tensor, data) in in_gguf(&json, &tensors) {
            let entry = &file.entries()[&tensor];
            let vector =
                entry.shape.len() == 1 || ["position", "token_types", "rel_b"].iter().any(|t| tensor.contains(t));
            assert_eq!(entry.dtype == "F32", vector || numbers == WeightDtype::F32, "{tensor}: {}", entry.dtype);
            let want = rounded(data.as_slice::<f32>().unwrap(), &entry.dtype);
            assert_eq!(file.read(&tensor).unwrap().as_slice::<f32>().unwrap(), want, "{name}: {tensor}");
            kept.insert(tensor, TensorData::new(want, data.shape().to_vec()));
        }
        let derived = usize::from(file.entries().contains_key("rope_freqs.weight"));
        assert_eq!(file.entries().len(), kept.len() + derived);
        // The same numbers make the same model: to the bit, unless matrices are multiplied as they are packed.
        let (found, want) = (outputs(&found, &file), outputs(&found, &InMemoryTensors::from(kept)));
        let apart = found.iter().zip(&want).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(
            found.len() == want.len() && apart <= if numbers == WeightDtype::F32 { 0.0 } else { 1e-5 },
            "{name}: {apart}"
        );
    }
}

/// llama.cpp's converter wrote the fixtures: names, layouts and values of metadata are its own.
#[test]
fn files_are_those_of_the_converter() {
    for name in MODELS.into_iter().filter(|name| *name != "tiny-t5") {
        let (json, weights) = original(name);
        let ours =
            GgufReader::open(written(&json, &InMemoryTensors::from(weights), WeightDtype::F32).unwrap()).unwrap();
        let theirs = crate::gguf(name);
        for (key, value) in theirs.metadata().0.iter().filter(|(key, _)| !key.starts_with("general.")) {
            let length = key.ends_with("context_length");
            if let Some(own) = ours.metadata().0.get(key).filter(|_| !length) {
                assert_eq!(own, value, "{name}: {key}");
            }
        }
        let names = |file: &GgufReader<Vec<u8>>| file.entries().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{name}");
        for tensor in names(&ours).iter().filter(|tensor| *tensor != "rope_freqs.weight") {
            assert!(ours.read(tensor).unwrap() == theirs.read(tensor).unwrap(), "{name}: {tensor} differs");
        }
    }
}

#[test]
fn q8_0_needs_rows_of_whole_blocks() {
    // A feed-forward of 64.
    let mut json = config("tiny-llama");
    json["intermediate_size"] = json!(64);
    let (family, config) = hf::read_config(&json).unwrap();
    let weights = ModelTensors::new(&kiln_models::Model::init(&config, 6, &Device::flex()));
    let file = GgufReader::open(written(&json, &weights, WeightDtype::Q8_0).unwrap()).unwrap();
    assert_eq!(file.entries()["blk.0.ffn_down.weight"].dtype, "Q8_0");
    assert_eq!(file.entries()["blk.0.ffn_up.weight"].dtype, "F16");
    // What stays packed is written from its blocks.
    let names = family.in_gguf().unwrap();
    let model = hf::load_model(&config, &names, &file, &Device::flex()).unwrap();
    assert!(!model.packed_weights().is_empty());
    let reader = ModelTensors::new(&model);
    for (name, data) in block_on(kiln_models::state_dict(&model)) {
        assert_eq!(reader.read(&name).unwrap(), data, "{name}");
    }
    let again = hf::export_tensors(&config, &names, &reader).unwrap();
    for name in again.entries().keys() {
        assert_eq!(again.read(name).unwrap(), file.read(name).unwrap(), "{name}");
    }
}

pub(super) fn block_on<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value.unwrap();
        }
    }
}

/// RoBERTa's positions begin behind its padding's number; in the file they begin with the first.
#[test]
fn roberta_is_a_bert_without_the_rows_before_its_positions() {
    let (bert, weights) = original("tiny-bert");
    let mut json = bert.clone();
    json["model_type"] = "roberta".into();
    json["architectures"] = json!(["RobertaModel"]);
    (json["pad_token_id"], json["max_position_embeddings"]) = (1.into(), 22.into());
    let mut longer = weights.clone();
    let table = longer.get_mut("position.weight").unwrap();
    let rows: Vec<f32> = [9.0; 48].into_iter().chain(table.iter::<f32>()).collect();
    *table = TensorData::new(rows, [22, 24]);
    let file = GgufReader::open(written(&json, &InMemoryTensors::from(longer), WeightDtype::F32).unwrap()).unwrap();
    assert_eq!(file.entries()["position_embd.weight"].shape, [20, 24]);
    let found = read_model(file.metadata(), &file).unwrap();
    let plain = GgufReader::open(written(&bert, &InMemoryTensors::from(weights), WeightDtype::F32).unwrap()).unwrap();
    assert_eq!(outputs(&found, &file), outputs(&found, &plain));
    assert_eq!(found.config_json["max_position_embeddings"], 20);
}

#[test]
fn models_without_a_gguf_counterpart_are_refused() {
    let (json, tensors) = original("tiny-llama");
    let refused = |json: &Value, tensors: &StateDict| {
        written(json, &InMemoryTensors::from(tensors.clone()), WeightDtype::F16).unwrap_err().to_string()
    };
    let other = json!({
        "model_type": "gptj", "vocab_size": 29, "n_embd": 24, "n_layer": 1, "n_head": 3, "rotary_dim": 4,
    });
    assert!(refused(&other, &StateDict::new()).contains("no architecture for models of the family `gptj`"));
    let mut windows = config("tiny-qwen2");
    (windows["use_sliding_window"], windows["sliding_window"]) = (true.into(), 4.into());
    windows["layer_types"] = json!(["sliding_attention", "full_attention"]);
    let told = refused(&windows, &weights_of(&windows, safetensors("tiny-qwen2")));
    assert!(told.contains("pattern") && told.contains("cannot store"), "{told}");
    // What would be read as another model: activations, windows, distances and heads that files of the kind don't say.
    for (name, key, value, told) in [
        ("tiny-llama", "hidden_act", json!("gelu"), "activation"),
        ("tiny-llama", "model_type", json!("mistral"), "pattern"),
        ("tiny-gpt2", "activation_function", json!("relu"), "activation"),
        ("tiny-gpt2", "scale_attn_by_inverse_layer_idx", json!(true), "scale"),
        ("tiny-bert", "hidden_act", json!("gelu_new"), "activation"),
        ("tiny-t5", "relative_attention_max_distance", json!(64), "max_distance"),
        ("tiny-t5", "feed_forward_proj", json!("gated-silu"), "activation"),
        ("tiny-t5-relu", "model_type", json!("mt5"), "scale"),
    ] {
        let (mut json, tensors) = original(name);
        json[key] = value;
        if key == "model_type" {
            // What the other family's files don't say.
            json.as_object_mut()
                .unwrap()
                .retain(|key, _| !["architectures", "scale_decoder_outputs"].contains(&&**key));
        }
        let found = refused(&json, &tensors);
        assert!(found.contains(told) && found.contains("cannot store"), "{name}: {found}");
    }
    let unscaled = config("tiny-t5");
    assert!(refused(&unscaled, &weights_of(&unscaled, safetensors("tiny-t5"))).contains("head.language.scale"));
    let (mut masked, _) = original("tiny-bert");
    masked["architectures"] = json!(["BertForMaskedLM"]);
    let (_, masked_config) = hf::read_config(&masked).unwrap();
    let heads = block_on(kiln_models::state_dict(&kiln_models::Model::init(&masked_config, 1, &Device::flex())));
    assert!(refused(&masked, &heads).contains("head.transform.dense.weight"));
    let mut factor = json.clone();
    factor["rope_parameters"] = json!({ "rope_type": "yarn", "factor": 2.0, "attention_factor": 0.5 });
    assert!(refused(&factor, &tensors).contains("attention_factor"));
    factor["rope_parameters"] = json!({ "rope_type": "linear" });
    assert!(refused(&factor, &tensors).contains("factor"));
    let mut llama3 = config("tiny-qwen2");
    llama3["rope_parameters"] = config("tiny-llama3")["rope_parameters"].clone();
    assert!(refused(&llama3, &weights_of(&llama3, safetensors("tiny-qwen2"))).contains("frequency factors"));
    let mut more = tensors.clone();
    more.insert("adapter.weight".into(), tensors["norm.weight"].clone());
    assert!(refused(&json, &more).contains("adapter.weight"));
    let mut large = tensors;
    let data = large.get_mut("embedding").unwrap();
    *data = TensorData::new(vec![1e6f32; 29 * 24], [29, 24]);
    assert!(refused(&json, &large).contains("not representable in F16"));
}
