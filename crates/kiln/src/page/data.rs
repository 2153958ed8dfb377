//! Data of the pages: plain structs, without tensors and without other crates of Kiln.
//!
//! Losses are in nats per token (or per another unit of the objective, where a field names it), times in seconds, sizes in bytes, shares between 0 and 1. A value that a run does not
//! have is `None`; its place on the page is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics_rows::{BetterValues, MetricResult, Row};

/// Data of the training report, drawn by [`render_report`](super::render_report).
///
/// `kiln train` and `kiln report` fill it from the run folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Name of the run.
    pub name: String,
    /// Name of the training objective.
    pub objective: String,
    /// Whether the loss is over masked tokens only, so that its exponential is a pseudo-perplexity.
    pub is_pseudo: bool,
    /// What the loss is averaged over, such as `pair`. Empty: tokens.
    pub loss_unit: String,
    /// Metrics of the objective, in the order of their importance.
    pub metrics: Vec<MetricDescription>,
    /// Name and value of facts such as text, tokenizer, seed and device.
    pub run_info: Vec<(String, String)>,
    /// Number of parameters, trainable and frozen.
    pub parameters: u64,
    /// The model that the run started from.
    pub base: Option<BaseModel>,
    /// Command line and version of Kiln of each process that worked on the run.
    pub commands: Vec<String>,
    /// Number of optimizer steps.
    pub steps: u64,
    /// Number of training tokens.
    pub tokens: u64,
    /// Training time.
    pub seconds: f64,
    /// Training tokens per second.
    pub tokens_per_second: Option<f64>,
    /// Training loss at the end.
    pub train_loss: Option<f64>,
    /// Validation loss at the end.
    pub validation_loss: Option<f64>,
    /// Entropy of the built-in stories: the lowest possible validation loss.
    pub floor: Option<f64>,
    /// Share of the sentences in samples that the grammar of the built-in stories accepts.
    pub acceptance_rate: Option<f64>,
    /// Validation loss in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Comparison with general compressors.
    pub compression: Option<Compression>,
    /// The complete recipe as TOML.
    pub recipe_toml: String,
    /// Rows of `metrics.jsonl`, in order.
    pub rows: Vec<Row>,
    /// Layers and costs of the model.
    pub model: ModelSummary,
    /// Inputs, targets and attention mask of the objective, one example for each of its components.
    pub examples: Vec<ObjectiveExample>,
    /// Saved checkpoints, in order.
    pub checkpoints: Vec<CheckpointEntry>,
    /// Loads of the experts on validation text, by layer. Empty for a model without experts.
    pub expert_loads: Vec<ExpertLoad>,
}

/// A metric of an objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricDescription {
    /// Name in the rows, such as `accuracy`.
    pub name: String,
    /// Unit, such as `nats`; empty for a fraction.
    pub unit: String,
    /// Which values are better.
    pub better: BetterValues,
    /// What it measures, as a sentence without a full stop.
    pub description: String,
}

/// The model that a fine-tuning run started from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BaseModel {
    /// Its name: the last part of its path.
    pub name: String,
    /// What is trained, such as `LoRA, rank 8`.
    pub method: String,
    /// Number of trained parameters.
    pub trained_parameters: u64,
    /// Validation loss before the first step.
    pub initial_loss: Option<f64>,
}

/// Loads of the experts of a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExpertLoad {
    /// Path of the layer, such as `blocks.3.feed_forward`.
    pub layer: String,
    /// Share of the selections that went to each expert; the shares add up to 1.
    pub shares: Vec<f64>,
}

/// Bits per byte of the model and of general compressors on the same text; lower is better.
///
/// The report draws a bar for each value. Only runs on text other than the built-in stories have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compression {
    /// Size of the text.
    pub bytes: u64,
    /// Bits per byte of the model.
    #[serde(alias = "model_bits_per_byte")]
    pub model: Option<f64>,
    /// Bits per byte of `gzip`.
    pub gzip: Option<f64>,
    /// Bits per byte of `xz`.
    pub xz: Option<f64>,
    /// Bits per byte of `zstd`.
    pub zstd: Option<f64>,
}

/// A model from embedding to head.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSummary {
    /// `decoder`, `encoder` or `encoder-decoder`, and the number of residual streams if there are several.
    pub stack: String,
    /// Hidden size.
    pub hidden: u64,
    /// Vocabulary size.
    pub vocab: u64,
    /// Number of parameters. A shared parameter counts once.
    pub total_parameters: u64,
    /// Layers in the order of the forward pass.
    pub layers: Vec<LayerSummary>,
}

/// A layer. Layers whose paths share a `blocks.N.` prefix form a block; equal consecutive blocks are shown once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerSummary {
    /// Prefix of its parameter names, such as `blocks.3.attention`.
    pub path: String,
    /// Description, such as `attention · 4 heads, 2 kv, rotary, window 64`.
    pub title: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Floating-point operations of the forward pass, per token.
    pub flops_per_token: f64,
    /// Bytes of decode state (such as the key-value cache), per token.
    pub state_bytes_per_token: f64,
    /// Kernel used in training.
    pub kernel: Option<String>,
    /// Why this kernel was chosen.
    pub kernel_reason: Option<String>,
    /// Attention pattern.
    pub pattern: Option<PatternMask>,
}

/// A small attention mask: rows are queries, columns are keys.
///
/// Drawn as a square of `size × size` cells with the visible ones in the accent color, and below it the title and the
/// share of visible cells. Size 0 is an empty square.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternMask {
    /// Number of queries and of keys.
    pub size: usize,
    /// `size × size` cells in row-major order; 0 is hidden, anything else visible. Missing cells are hidden.
    pub cells: Vec<u8>,
    /// Description, such as `causal, window 64`.
    pub title: String,
}

impl PatternMask {
    /// Whether `query` attends to `key`. False outside the mask.
    pub fn is_visible(&self, query: usize, key: usize) -> bool {
        query < self.size && key < self.size && self.cells.get(query * self.size + key).is_some_and(|cell| *cell != 0)
    }
}

/// Inputs and targets that an objective makes of a text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ObjectiveExample {
    /// Caption.
    pub title: String,
    /// Input and target tokens, in order.
    pub tokens: Vec<ExampleToken>,
    /// Attention mask.
    #[serde(default)]
    pub pattern: Option<PatternMask>,
}

/// A position of an example.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExampleToken {
    /// Input token, as text.
    pub input: String,
    /// Target token, as text. `None` where no loss is computed.
    pub target: Option<String>,
    /// Loss weight of the target; 0 where no loss is computed.
    #[serde(default)]
    pub weight: f32,
    /// Whether the input is a mask or sentinel token.
    pub is_masked: bool,
    /// Heading above this token, the first of a sequence, such as `chosen`. Empty for an example of one sequence.
    #[serde(default)]
    pub heading: String,
}

/// A saved checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CheckpointEntry {
    /// Step after which it was saved.
    pub step: u64,
    /// Validation loss at that step.
    pub validation_loss: Option<f64>,
    /// Total size of its files.
    pub bytes: u64,
    /// Whether it has the lowest validation loss.
    pub is_best: bool,
}

/// Data of the comparison page, drawn by [`render_comparison`](super::render_comparison).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// Runs, in the order of the command line.
    pub runs: Vec<ComparedRun>,
}

/// One run of a comparison. Runs that differ in the seed only share a color: six colors, then the same six dotted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparedRun {
    /// Name of the run.
    pub name: String,
    /// Values of the recipe keys that differ between the runs.
    pub config_diff: BTreeMap<String, String>,
    /// Validation loss at the end.
    pub validation_loss: Option<f64>,
    /// What the loss is averaged over, such as `pair`. Empty: tokens.
    pub loss_unit: String,
    /// Metrics of the objective in the last evaluation, by name.
    pub metrics: BTreeMap<String, MetricResult>,
    /// Validation loss at the end, in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Entropy of the built-in stories.
    pub floor: Option<f64>,
    /// Wall time of the training, evaluations included.
    pub seconds: f64,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of training tokens.
    pub tokens: u64,
    /// Rows of `metrics.jsonl`, in order.
    pub rows: Vec<Row>,
    /// Sequence length and validation loss at that length, shortest first.
    pub loss_by_length: Vec<(usize, f64)>,
}
