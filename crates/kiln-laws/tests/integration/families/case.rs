//! Test cases of decoder families: a folder with a model of the reference code and its results.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_laws::fixture::Fixture;
use kiln_models::{Model, hf};
use kiln_nn::{Context, Probe};
use kiln_pretrained::{
    PretrainedModel,
    files::{ModelFolder, load},
};
use kiln_spec::{Direction, Layout};
use serde_json::Value;
use std::path::PathBuf;

/// Names of the test cases of decoders: at least two of different shapes for each family.
pub const DECODERS: [&str; 65] = [
    "gpt2-tied",
    "gpt2-scaled",
    "gpt2-unscaled",
    "llama-biases",
    "llama-llama3",
    "llama-yarn",
    "mistral-window",
    "mistral-tied",
    "phi3-window",
    "phi3-tied",
    "qwen2-windows",
    "qwen2-tied",
    "qwen3-heads",
    "qwen3-windows",
    "gemma-scaled",
    "gemma-untied",
    "gemma2-capped",
    "gemma2-uncapped",
    "mixtral-experts",
    "mixtral-window",
    "olmo2-grouped",
    "olmo2-tied",
    "granite-factors",
    "granite-biases",
    "starcoder2-window",
    "starcoder2-plain",
    "gpt_neox-parallel",
    "gpt_neox-serial",
    "bloom-tied",
    "bloom-untied",
    "phi-grouped",
    "phi-quarter",
    "gptj-half",
    "gptj-whole",
    "smollm3-nope",
    "smollm3-untied",
    "diffllama-grouped",
    "diffllama-tied",
    "qwen3_moe-mixed",
    "qwen3_moe-plain",
    "falcon-grouped",
    "falcon-shared",
    "falcon-query",
    "falcon-alibi",
    "opt-before",
    "opt-after",
    "opt-bare",
    "gpt_bigcode-query",
    "gpt_bigcode-heads",
    "stablelm-heads",
    "stablelm-parallel",
    "cohere-normed",
    "cohere-biases",
    "qwen2_moe-mixed",
    "qwen2_moe-plain",
    "mpt-clipped",
    "mpt-slopes",
    "deepseek_v3-groups",
    "deepseek_v3-plain",
    "mamba2-groups",
    "mamba2-biases",
    "lfm2-mixed",
    "lfm2-biases",
    "gpt_oss-windows",
    "gpt_oss-tied",
];

pub struct Case {
    pub name: &'static str,
    pub folder: PathBuf,
    pub reference: Fixture,
}

impl Case {
    pub fn open(name: &'static str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/hf").join(name);
        Self { name, folder, reference: Fixture::open(&format!("hf/{name}/expected")) }
    }

    pub fn load(&self, device: &Device) -> PretrainedModel {
        load(&self.folder, device).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The model with one option of `config.json` changed.
    pub fn control_model(&self, device: &Device) -> Model {
        let text = std::fs::read(self.folder.join("control.json")).unwrap();
        let (family, config) = hf::read_config(&serde_json::from_slice::<Value>(&text).unwrap()).unwrap();
        hf::load_model(&config, family, ModelFolder::open(&self.folder).unwrap().tensors(), device).unwrap()
    }

    /// A tensor of integers.
    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.reference.values(name).1.into_iter().map(|id| id as u32).collect()
    }

    pub fn lengths(&self) -> Vec<usize> {
        self.ids("lengths").into_iter().map(|length| length as usize).collect()
    }

    /// Expected values at real tokens, row by row.
    pub fn unpadded_values(&self, name: &str, padded_left: bool) -> Vec<f64> {
        let (shape, values) = self.reference.values(name);
        unpadded_values(&values, shape[1], shape[2], &self.lengths(), padded_left)
    }
}

/// Values at real tokens of a tensor `[rows, width, n]`.
pub fn unpadded_values(values: &[f64], width: usize, each: usize, lengths: &[usize], padded_left: bool) -> Vec<f64> {
    let row = |(row, length): (usize, &usize)| {
        let from = row * width + if padded_left { width - length } else { 0 };
        values[from * each..][..length * each].to_vec()
    };
    lengths.iter().enumerate().flat_map(row).collect()
}

/// Logits `[rows, width, vocab]` of rows with padding on the right.
pub fn logits(model: &Model, ids: &[u32], lengths: &[usize], probe: Option<Box<dyn Probe>>) -> Tensor<3> {
    let (rows, width) = (lengths.len(), ids.len() / lengths.len());
    let mut cx =
        Context::new(&Layout::from_offsets(&vec![0; rows], lengths, width, Direction::Causal), &model.device());
    cx.probe = probe;
    let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, width]), &model.device());
    let hidden = model.forward(ids, &mut cx);
    let out = model.outputs(hidden, &cx);
    let vocab = out.dims()[1];
    out.reshape([rows, width, vocab])
}

pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Largest |a − b|, relative to the largest |b|.
pub fn relative_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    kiln_laws::max_abs_diff(a, b) / b.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
}
