//! Models of every family with an architecture in GGUF: written and read again they are equal, or refused by path. With
//! `KILN_KEEP=DIR` the files stay in DIR with the same models as folders, for `tools/check_gguf_families.py`.

use kiln_laws::{device, values};
use kiln_models::{
    Model, ModelConfig, ModelTensors, StateDict,
    hf::{self, FAMILIES, Family, family::config_diff},
    tensors::{InMemoryTensors, TensorSource, WeightDtype},
};
use kiln_pretrained::{
    files::{SaveOptions, save},
    gguf::{GgufExport, GgufFile, Metadata, Value},
};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

/// Models that GGUF stores: a fixture, and changes of its `config.json` to what llama.cpp implements.
pub(super) const STORED: &[(&str, &str)] = &[
    ("hf/llama-biases", "{}"),
    ("hf/llama-llama3", r#"{ "hidden_act": "silu" }"#),
    ("hf/llama-yarn", "{}"),
    ("hf/mistral-tied", r#"{ "sliding_window": null }"#),
    ("hf/mixtral-experts", "{}"),
    ("hf/phi3-tied", "{}"),
    (
        "hf/phi3-tied",
        r#"{ "original_max_position_embeddings": 4096, "max_position_embeddings": 8192, "rope_parameters": { "rope_type":
        "longrope", "rope_theta": 400.0, "short_factor": [1.0, 1.25, 1.5], "long_factor": [1.5, 2.0, 3.0] } }"#,
    ),
    ("hf/phi3-window", "{}"),
    ("hf/qwen2-tied", r#"{ "use_sliding_window": false, "layer_types": null }"#),
    ("hf/qwen3-heads", r#"{ "attention_bias": false }"#),
    ("hf/qwen3_moe-plain", r#"{ "attention_bias": false, "norm_topk_prob": true }"#),
    ("hf/gemma-scaled", "{}"),
    ("hf/gemma2-capped", r#"{ "query_pre_attn_scalar": 6 }"#),
    ("hf/gemma2-uncapped", r#"{ "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0 }"#),
    ("hf/olmo2-grouped", "{}"),
    ("hf/granite-factors", "{}"),
    ("hf/granite-biases", "{}"),
    ("hf/starcoder2-plain", r#"{ "use_bias": true }"#),
    ("hf/starcoder2-window", r#"{ "sliding_window": null }"#),
    ("hf/gpt2-tied", "{}"),
    ("hf/gpt_neox-parallel", "{}"),
    ("hf/gpt_neox-serial", r#"{ "attention_bias": true, "tie_word_embeddings": false }"#),
    ("hf/bloom-tied", "{}"),
    ("hf/bloom-untied", "{}"),
    ("hf/phi-quarter", "{}"),
    ("hf/phi-grouped", "{}"),
    ("hf/smollm3-nope", r#"{ "no_rope_layers": [1, 1, 1] }"#),
    ("hf/falcon-grouped", "{}"),
    ("hf/falcon-shared", "{}"),
    ("hf/falcon-query", r#"{ "bias": false }"#),
    ("hf/gpt_bigcode-query", "{}"),
    ("hf/gpt_bigcode-heads", r#"{ "scale_attn_weights": true }"#),
    ("hf/stablelm-heads", r#"{ "rope_parameters": { "partial_rotary_factor": 0.3333333333333333 } }"#),
    ("hf/stablelm-parallel", r#"{ "tie_word_embeddings": false }"#),
    ("hf/cohere-normed", r#"{ "tie_word_embeddings": true, "attention_bias": false, "use_qk_norm": false }"#),
    ("hf/mamba2-groups", "{}"),
    (
        "hf/deepseek_v3-groups",
        r#"{ "rms_norm_eps": 1e-6, "rope_parameters": { "rope_theta": 300.0, "rope_type": "yarn",
        "factor": 4.0, "mscale": 0.9, "mscale_all_dim": 0.9, "original_max_position_embeddings": 24 } }"#,
    ),
    ("hf/deepseek_v3-plain", r#"{ "attention_bias": false, "rope_interleave": true }"#),
    ("hf/mamba2-biases", r#"{ "use_conv_bias": true, "use_bias": false, "expand": 2, "hidden_size": 12 }"#),
    ("hf/lfm2-biases", r#"{ "conv_bias": false }"#),
    ("hf/lfm2-mixed", r#"{ "head_dim": 4 }"#),
    ("hf/qwen2_moe-plain", r#"{ "norm_topk_prob": false, "tie_word_embeddings": false }"#),
    ("hf/mpt-clipped", r#"{ "attn_config": { "alibi": true, "clip_qkv": 0.5 } }"#),
    ("hf/mpt-slopes", "{}"),
    ("hf-encoders/bert-bare", "{}"),
    ("hf-encoders/roberta-masked", r#"{ "architectures": ["RobertaModel"] }"#),
    ("hf-encoders/distilbert-masked", r#"{ "architectures": ["DistilBertModel"] }"#),
    ("hf-encoders/distilbert-untied", r#"{ "architectures": ["DistilBertModel"] }"#),
    ("hf-encoders/modernbert-bare", "{}"),
    ("hf-encoders/modernbert-masked", r#"{ "architectures": ["ModernBertModel"] }"#),
    (
        "hf-encoders/modernbert-biases",
        r#"{ "architectures": ["ModernBertModel"], "norm_bias": false, "attention_bias": false, "mlp_bias": false,
        "num_hidden_layers": 5, "layer_types": null, "global_attn_every_n_layers": 2, "local_attention": 1 }"#,
    ),
    ("hf-encoders/t5-gated", "{}"),
    ("hf-encoders/t5-tied", r#"{ "relative_attention_max_distance": 128 }"#),
    ("hf-encoders/mt5-untied", r#"{ "relative_attention_max_distance": 128 }"#),
];

/// Models that GGUF cannot store, and the option's path in the model, or the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    ("hf/gpt2-scaled", r#"{ "activation_function": "gelu_new" }"#, "heads.scale"),
    ("hf/mistral-window", "{}", "pattern"),
    ("hf/mixtral-window", "{}", "pattern"),
    ("hf/starcoder2-window", "{}", "pattern"),
    ("hf/starcoder2-plain", "{}", "bias"),
    ("hf/llama-llama3", "{}", "activation"),
    (
        "hf/llama-biases",
        r#"{ "rope_parameters": { "rope_type": "dynamic", "factor": 2.0 } }"#,
        "rotary.scaling.dynamic",
    ),
    ("hf/qwen3-heads", "{}", "heads.bias"),
    ("hf/qwen3_moe-plain", r#"{ "attention_bias": false }"#, "norm_topk_prob"),
    ("hf/qwen3_moe-mixed", r#"{ "attention_bias": false, "norm_topk_prob": true }"#, "parts"),
    ("hf/gemma-untied", r#"{ "attention_bias": false }"#, "tied"),
    ("hf/gemma2-capped", "{}", "heads.scale"),
    ("hf/gemma2-uncapped", "{}", "softcap"),
    ("hf/olmo2-tied", r#"{ "attention_bias": false }"#, "tied"),
    ("hf/gpt_neox-serial", "{}", "bias"),
    ("hf/smollm3-nope", "{}", "position"),
    ("hf/falcon-alibi", "{}", "parallel parts only"),
    ("hf/cohere-biases", "{}", "bias"),
    ("hf/cohere-normed", r#"{ "tie_word_embeddings": true, "attention_bias": false }"#, "heads.qk_norm"),
    ("hf/mamba2-biases", "{}", "bias"),
    ("hf/deepseek_v3-groups", "{}", "latent.norm.rms.eps"),
    ("hf/deepseek_v3-groups", r#"{ "rms_norm_eps": 1e-6 }"#, "attention_factor"),
    ("hf/deepseek_v3-plain", r#"{ "attention_bias": false }"#, "interleaved"),
    ("hf/mamba2-groups", r#"{ "time_step_limit": [0.01, 0.5] }"#, "time_step_limit"),
    ("hf/lfm2-biases", "{}", "gated_convolution.bias"),
    ("hf/lfm2-mixed", "{}", "heads.head_dim"),
    ("hf/lfm2-mixed", r#"{ "head_dim": 4, "conv_L_cache": 1 }"#, "shortconv.l_cache"),
    ("hf/lfm2-biases", r#"{ "layer_types": ["full_attention", "full_attention"] }"#, "layers of both kinds"),
    ("hf/lfm2-biases", r#"{ "conv_bias": false, "layer_types": ["conv", "conv"] }"#, "layers of both kinds"),
    ("hf/qwen2_moe-mixed", r#"{ "norm_topk_prob": false, "tie_word_embeddings": false }"#, "parts"),
    ("hf/mpt-clipped", "{}", "scale"),
    ("hf/opt-before", "{}", "`opt`"),
    ("hf/gptj-half", "{}", "`gptj`"),
    ("hf-encoders/bert-masked", "{}", "head.transform.dense.weight"),
    ("hf-encoders/distilbert-masked", "{}", "head.transform.dense.weight"),
    (
        "hf-encoders/distilbert-masked",
        r#"{ "architectures": ["DistilBertModel"], "activation": "relu" }"#,
        "activation",
    ),
    ("hf-encoders/modernbert-masked", "{}", "head.transform.dense.weight"),
    ("hf-encoders/modernbert-bare", r#"{ "norm_bias": true }"#, "norm.layer.bias"),
    ("hf-encoders/modernbert-bare", r#"{ "attention_bias": true }"#, "heads.bias"),
    ("hf-encoders/modernbert-bare", r#"{ "mlp_bias": true }"#, "gated_mlp.bias"),
    ("hf-encoders/modernbert-bare", r#"{ "hidden_activation": "relu" }"#, "gated_mlp.activation"),
    ("hf-encoders/electra-masked", "{}", "`electra`"),
    (
        "hf-encoders/mt5-tied",
        r#"{ "dense_act_fn": "gelu_new", "feed_forward_proj": "gated-gelu" }"#,
        "head.language.scale",
    ),
];

/// A model of a fixture's shape with random weights.
pub(super) struct Case {
    pub name: String,
    config_json: Json,
    pub family: &'static Family,
    pub config: ModelConfig,
    pub model: Model,
}

impl Case {
    pub fn new(fixture: &str, changes: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
        let text = std::fs::read(folder.join("config.json")).unwrap();
        let mut given: Map<String, Json> = serde_json::from_slice(&text).unwrap();
        let changes: Map<String, Json> = serde_json::from_str(changes).unwrap();
        let changed = if changes.is_empty() { "" } else { "-changed" };
        let name = format!("{}{changed}", fixture.split('/').next_back().unwrap());
        given.extend(changes);
        let (family, config) = hf::read_config(&given.clone().into()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (_, config_json) = hf::to_config_json(&config, Some(&given.into())).unwrap();
        let model = Model::init(&config, 1, &device());
        let tensors =
            random_tensors(hf::export_tensors(&config, family, &ModelTensors::new(&model)).unwrap().entries());
        let model = hf::load_model(&config, family, &InMemoryTensors::from(tensors), &device()).unwrap();
        Self { name, config_json, family, config, model }
    }

    pub fn write(&self, dtype: WeightDtype) -> Result<Vec<u8>, String> {
        self.write_model(&self.model, dtype)
    }

    /// A file of the weights of `model`, without a tokenizer.
    fn write_model(&self, model: &Model, dtype: WeightDtype) -> Result<Vec<u8>, String> {
        let mut metadata = Metadata::default();
        metadata.set("tokenizer.ggml.model", Value::String("none".into()));
        let export = GgufExport {
            name: &self.name,
            config_json: &self.config_json,
            weights: &ModelTensors::new(model),
            dtype,
            default_context_length: 64,
            pooling: None,
            tokenizer: None,
            metadata: Some(&metadata),
        };
        let mut out = Vec::new();
        export.write(&mut out).map(|()| out).map_err(|error| error.to_string())
    }
}

/// Values for tensors of these shapes: matrices around 0, vectors around 1, each value another.
fn random_tensors<'a>(
    entries: impl IntoIterator<Item = (&'a String, &'a kiln_models::tensors::TensorInfo)>,
) -> StateDict {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut tensor = |shape: &[usize]| {
        let center = if shape.len() == 1 { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| center + next()).collect();
        burn::tensor::TensorData::new(values, shape.to_vec())
    };
    entries.into_iter().map(|(name, entry)| (name.clone(), tensor(&entry.shape))).collect()
}

/// Differences that act in training only, or that count positions from another row.
fn is_untold(path: &str) -> bool {
    [".dropout", ".router_aux_loss_coef", "position.learned.offset"].iter().any(|end| path.ends_with(end))
}

pub(super) fn file(bytes: &[u8]) -> GgufFile<&[u8]> {
    GgufFile::from_bytes("x.gguf".as_ref(), bytes).unwrap()
}

/// The distance of a weight from the same weight stored otherwise and read again: norms as 1 + w, decay rates as logarithms.
fn rounding(name: &str, parameter: &str) -> f32 {
    match parameter {
        // Half a unit in the last place of numbers below 4.
        _ if name.starts_with("gemma") && parameter.contains("norm") => f32::EPSILON,
        // Numbers below 5: half a unit in the last place, and that of their logarithms times as much.
        _ if parameter.ends_with("a_log") || parameter.ends_with("ssm_a") => 5.0 * f32::EPSILON,
        _ => 0.0,
    }
}

fn assert_equal_weights(name: &str, found: &StateDict, want: &StateDict) {
    assert_eq!(found.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{name}");
    for (parameter, want) in want {
        let pairs = found[parameter].iter::<f32>().zip(want.iter::<f32>());
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= rounding(name, parameter), "{name}: {parameter} differs by {apart:e}");
    }
}

#[test]
fn written_models_are_read_as_the_same_models() {
    let keep = std::env::var_os("KILN_KEEP").map(PathBuf::from);
    for (fixture, changes) in STORED {
        let case = Case::new(fixture, changes);
        let bytes = case.write(WeightDtype::F32).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let found = file(&bytes).load(&device()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let differences = config_diff(&case.config, found.model.config());
        assert!(differences.iter().all(|(path, ..)| is_untold(path)), "{}: {differences:?}", case.name);
        if found.family.name == case.family.name {
            assert_equal_weights(&case.name, &values(&found.model), &values(&case.model));
        }
        if let Some(home) = &keep {
            std::fs::create_dir_all(home).unwrap();
            std::fs::write(home.join(format!("{}.gguf", case.name)), &bytes).unwrap();
            let options = SaveOptions { config_json: Some(&case.config_json), ..SaveOptions::default() };
            save(&home.join(&case.name), &case.config, &ModelTensors::new(&case.model), options).unwrap();
        }
    }
}

#[test]
fn files_of_16_bits_are_written_again_to_the_bit() {
    for (fixture, changes) in STORED {
        let case = Case::new(fixture, changes);
        for dtype in [WeightDtype::F16, WeightDtype::BF16] {
            let first = case.write(dtype).unwrap();
            let loaded = file(&first).load(&device()).unwrap();
            if loaded.family.name != case.family.name {
                continue;
            }
            let second = case.write_model(&loaded.model, dtype).unwrap();
            let [first, second] = [&first, &second].map(|bytes| file(bytes).read_all().unwrap());
            assert_equal_weights(&case.name, &second, &first);
        }
    }
}

#[test]
fn what_gguf_cannot_store_is_refused_by_path() {
    let answers = REFUSED.iter().map(|(fixture, changes, told)| {
        let case = Case::new(fixture, changes);
        let answer = case.write(WeightDtype::F32).err().unwrap_or_else(|| "written".into());
        (case.name, *told, answer)
    });
    let others: Vec<_> = answers.filter(|(_, told, answer)| !answer.contains(told)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn every_architecture_has_a_stored_model() {
    let stored: Vec<&str> = STORED.iter().map(|(fixture, changes)| Case::new(fixture, changes).family.name).collect();
    for family in FAMILIES.iter().filter(|family| family.gguf().is_ok()) {
        assert!(stored.contains(&family.name), "{}: no model is written to GGUF", family.name);
    }
}
