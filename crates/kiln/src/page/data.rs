//! What the pages are made from: plain data, without tensors and without other crates of Kiln.
//!
//! Losses are nats a token, times seconds, sizes bytes, shares numbers from 0 to 1. A figure that a run does not have
//! is `None` and its place on the page stays away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics_rows::Row;

/// All that the report of one run shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Name of the run, as a person knows it.
    pub name: String,
    /// Name of the objective that was trained.
    pub objective: String,
    /// True where the loss is that of masked tokens only, so that its exponential is a pseudo-perplexity.
    pub is_pseudo: bool,
    /// Short facts under the heading, name and value: device, data, tokenizer, seed.
    pub run_info: Vec<(String, String)>,
    /// Trained and frozen numbers of the model.
    pub parameters: u64,
    /// Steps done.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Time spent.
    pub seconds: f64,
    /// Tokens trained on in a second.
    pub tokens_per_second: Option<f64>,
    /// Loss of training at the end.
    pub train_loss: Option<f64>,
    /// Loss of validation at the end.
    pub validation_loss: Option<f64>,
    /// Entropy of the built-in corpus: no model can do better.
    pub floor: Option<f64>,
    /// Share of sampled sentences that the built-in corpus could have made.
    pub acceptance_rate: Option<f64>,
    /// Bits a byte on validation text.
    pub bits_per_byte: Option<f64>,
    /// The model beside general compressors.
    pub compression: Option<Compression>,
    /// The whole recipe.
    pub recipe_toml: String,
    /// The lines of `metrics.jsonl`, in order.
    pub rows: Vec<Row>,
    /// The model in pictures.
    pub model: ModelSummary,
    /// What the objective gives and asks, on one piece of text; of an objective with parts, each part.
    pub examples: Vec<ObjectiveExample>,
    /// The checkpoints that are kept, in order.
    pub checkpoints: Vec<CheckpointEntry>,
}

/// Bits a byte of the model and of general compressors on the same text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compression {
    /// Size of the text.
    pub bytes: u64,
    /// Bits a byte of the model.
    #[serde(alias = "model_bits_per_byte")]
    pub model: Option<f64>,
    /// Bits a byte of `gzip`.
    pub gzip: Option<f64>,
    /// Bits a byte of `xz`.
    pub xz: Option<f64>,
    /// Bits a byte of `zstd`.
    pub zstd: Option<f64>,
}

/// A model from embedding to head.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSummary {
    /// Decoder, encoder or encoder-decoder.
    pub stack: String,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Number of tokens that the model knows.
    pub vocab: u64,
    /// Numbers in the model, a shared one counted once.
    pub total_parameters: u64,
    /// The layers, in the order in which a token meets them.
    pub layers: Vec<LayerSummary>,
}

/// One layer. Layers whose paths share a `blocks.N.` are drawn as a block, blocks that repeat are drawn once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerSummary {
    /// Where its parameters live, as `blocks.3.attention`.
    pub path: String,
    /// What it is, as `attention · 4 heads, 2 kv, rotary, window 64`.
    pub title: String,
    /// Numbers in it.
    pub parameters: u64,
    /// Operations to pass one token forward.
    pub flops_per_token: f64,
    /// What generation keeps of one token.
    pub state_bytes_per_token: f64,
    /// The kernel that was planned.
    pub kernel: Option<String>,
    /// Why that kernel.
    pub kernel_reason: Option<String>,
    /// Who sees whom.
    pub pattern: Option<PatternMask>,
}

/// A small table of who sees whom: rows are queries, columns keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternMask {
    /// Number of queries and of keys.
    pub size: usize,
    /// `size × size` cells, row by row: 0 hidden, 1 visible. Missing ones are hidden.
    pub cells: Vec<u8>,
    /// What it is, as `causal, window 64`.
    pub title: String,
}

impl PatternMask {
    /// Whether `query` sees `key`.
    pub fn is_visible(&self, query: usize, key: usize) -> bool {
        query < self.size && key < self.size && self.cells.get(query * self.size + key).is_some_and(|cell| *cell != 0)
    }
}

/// What an objective makes of one piece of text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ObjectiveExample {
    /// A sentence that explains it.
    pub title: String,
    /// Its tokens, in the order of the input.
    pub tokens: Vec<ExampleToken>,
    /// Who sees whom.
    #[serde(default)]
    pub pattern: Option<PatternMask>,
}

/// A token that the model is given and what it is asked there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExampleToken {
    /// Text of the token that the model is given.
    pub input: String,
    /// Text of the token that it is to predict here; `None` where no loss is taken.
    pub target: Option<String>,
    /// True where the input hides the text: a mask or a sentinel.
    pub is_masked: bool,
}

/// A checkpoint that is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CheckpointEntry {
    /// Step after which it was saved.
    pub step: u64,
    /// Loss of validation there.
    pub validation_loss: Option<f64>,
    /// Size of its files.
    pub bytes: u64,
    /// True of the one with the lowest loss of validation.
    pub is_best: bool,
}

/// All that the comparison of several runs shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// The runs, in the order in which they were named.
    pub runs: Vec<ComparedRun>,
}

/// One of the runs compared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparedRun {
    /// Name of the run.
    pub name: String,
    /// The keys of its recipe that are not the same in all runs, with their values.
    pub config_diff: BTreeMap<String, String>,
    /// Loss of validation at the end.
    pub validation_loss: Option<f64>,
    /// Entropy of the built-in corpus.
    pub floor: Option<f64>,
    /// Time spent.
    pub seconds: f64,
    /// Numbers in the model.
    pub parameters: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// The lines of `metrics.jsonl`, in order.
    pub rows: Vec<Row>,
    /// Loss on held-out text in rows of so many tokens, the shortest first.
    pub loss_by_length: Vec<(usize, f64)>,
}
