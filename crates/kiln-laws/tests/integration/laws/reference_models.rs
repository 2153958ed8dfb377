//! Whole models of other implementations, described as configurations with weights under Kiln's names.
//!
//! Each file holds a tiny random model of one class of transformers, its logits, and the gradient of its embedding; see
//! `tools/fixtures_parts.py`. They prove that the parts, put together by a configuration alone, compute what that class
//! computes. The configuration of the control lacks one option.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_laws::{device, fixture::Fixture, max_abs_diff, parameters::to_f64};
use kiln_models::{Model, ModelConfig, StateDict, for_each_param, load_state_dict};
use kiln_nn::Context;
use kiln_spec::Layout;

/// The files.
const MODELS: [&str; 29] = [
    "bloom",
    "cohere",
    "deepseek_v2",
    "deepseek_v3",
    "distilbert",
    "electra",
    "falcon-alibi",
    "falcon-multi-query",
    "falcon-two-norms",
    "gemma",
    "gemma2",
    "gpt_bigcode",
    "gpt_neox",
    "gpt_neox-serial",
    "gptj",
    "granite",
    "mixtral",
    "modernbert",
    "mpt",
    "olmo2",
    "opt",
    "opt-factorized",
    "phi",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "smollm3",
    "stablelm",
    "starcoder2",
];

/// The reference computes norms, rotary tables and router scores in f32.
const TOLERANCE: f64 = 2e-5;

struct ReferenceModel {
    name: &'static str,
    file: Fixture,
}

impl ReferenceModel {
    fn open(name: &'static str) -> Self {
        Self { name, file: Fixture::open(&format!("parts/{name}")) }
    }

    /// The configuration under `key` of the metadata, checked and resolved.
    fn config(&self, key: &str) -> ModelConfig {
        let mut config: ModelConfig = serde_json::from_str(&self.file.metadata(key))
            .unwrap_or_else(|error| panic!("{} {key}: {error}", self.name));
        for _ in 0..2 {
            config.check("model").unwrap_or_else(|error| panic!("{} {key}: {error}", self.name));
            config.resolve();
        }
        config
    }

    fn weights(&self) -> StateDict {
        let names = self.file.names("weights.");
        let value = |name: String| {
            let (shape, values) = self.file.values(&format!("weights.{name}"));
            (name, TensorData::new(values, shape))
        };
        names.into_iter().map(value).collect()
    }

    /// The model in f64, with all of its weights from the file and all weights of the file in it.
    fn model(&self, device: &Device) -> Model {
        let model = to_f64(Model::init(&self.config("config"), 0, device));
        load_state_dict(model, self.weights()).unwrap_or_else(|mismatch| panic!("{}: {mismatch}", self.name))
    }

    /// The control, which may use fewer of the weights.
    fn control(&self) -> Model {
        let model = to_f64(Model::init(&self.config("control"), 0, &device()));
        model.load_partial_state_dict(self.weights())
    }

    /// Logits `[rows · width, vocab]`.
    fn logits(&self, model: &Model) -> Tensor<2> {
        let tokens = self.file.integers::<2>("tokens", &model.device());
        let [rows, width] = tokens.dims();
        let direction = model.config().effective_visibility().direction(0);
        let layout = Layout::from_offsets(&vec![0; rows], &vec![width; rows], width, direction);
        let mut cx = Context::new(&layout, &device());
        let tokens: Tensor<2, Int> = tokens;
        let hidden = model.forward(tokens, &mut cx);
        model.outputs(hidden, &cx)
    }

    /// Largest difference from a tensor of the file, relative to its largest value.
    fn difference(&self, tensor: &str, found: &[f64]) -> f64 {
        let (_, want) = self.file.values(tensor);
        assert_eq!(found.len(), want.len(), "{} {tensor}", self.name);
        max_abs_diff(found, &want) / want.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
    }
}

fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[test]
fn configurations_compute_what_the_reference_computes() {
    let mut wrong = Vec::new();
    for name in MODELS {
        let reference = ReferenceModel::open(name);
        let model = reference.model(&device().autodiff());
        let logits = reference.logits(&model);
        let cotangent = reference.file.tensor::<2>("cotangent", &device().autodiff());
        let gradients = (logits.clone() * cotangent).sum().backward();
        let mut gradient = Vec::new();
        for_each_param(&model, |param| {
            if param.name() == "embedding" {
                gradient = to_vec(param.gradient(&gradients).expect("a gradient").flatten());
            }
        });
        let found = [
            reference.difference("logits", &to_vec(logits.inner())),
            reference.difference("dembedding", &gradient),
            reference.difference("logits", &to_vec(reference.logits(&reference.control()))),
        ];
        println!("{name:<20} logits {:.1e}  gradient {:.1e}  control {:.1e}", found[0], found[1], found[2]);
        let is_right = found[0] <= TOLERANCE && found[1] <= TOLERANCE && found[2] > 1e-3;
        wrong.extend((!is_right).then_some(name));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_file_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parts");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".safetensors", ""))
        .collect();
    files.sort_unstable();
    assert_eq!(files, MODELS);
}
