//! Kiln trains, fine-tunes, evaluates, runs and converts language models on [Burn](https://burn.dev). This crate re-exports
//! the other crates and adds the report pages and the command `kiln`.
//!
//! # Load a pretrained model
//!
//! [`Pretrained::load`](prelude::Pretrained::load) reads a Hugging Face folder, a `.gguf` file, a PEFT adapter folder, or a
//! model on the Hugging Face hub by its id:
//!
//! ```no_run
//! use kiln::prelude::*;
//!
//! let pretrained = Pretrained::load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
//! let generator = Generator::new(&pretrained.model, &pretrained.tokenizer)?;
//! let outputs = block_on(generator.generate(&["Water boils at"], &GenerateOptions::default()))?;
//! println!("Water boils at{}", outputs[0].text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From text to a trained model
//!
//! The types in the order of the data flow: a [`Source`](prelude::Source) of texts is split by a
//! [`ValidationSplit`](prelude::ValidationSplit), tokenized by a [`Tokenizer`](prelude::Tokenizer) into a
//! [`Corpus`](prelude::Corpus), and packed into sequences by a [`Packer`](prelude::Packer). An
//! [`Objective`](prelude::Objective) makes a [`Batch`](prelude::Batch) of them and computes the loss of a
//! [`Model`](prelude::Model), which a [`ModelConfig`](prelude::ModelConfig) describes. A
//! [`Generator`](prelude::Generator) generates text with the trained model.
//!
//! ```
//! use burn::module::Module;
//! use kiln::data::DiskSpace;
//! use kiln::nn::context::RngKey;
//! use kiln::prelude::*;
//! use kiln::train::optimizer::{Optimizer, OptimizerConfig};
//! use kiln::train::{ObjectiveConfig, step::compute_gradients};
//! use std::sync::Arc;
//!
//! // Data: texts, a tokenizer, and sequences of 64 tokens.
//! let texts: Vec<String> = (0..40).map(|i| format!("Ann has {i} cats and {i} hats.")).collect();
//! let split = ValidationSplit::new(&texts, 0.2)?;
//! let sample = split.training_sample(&texts, 1 << 20)?;
//! let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), sample)?;
//! let corpus = Corpus::build(&texts, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ())?;
//! let packer = Packer::training(Arc::new(corpus), 64, 0)?;
//!
//! // Model: a configuration that is checked before anything is allocated.
//! let mut config = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 16, ..ModelConfig::default() };
//! config.resolve();
//! config.check("model")?;
//! let mut models = Models::new(Model::init(&config, 0, &Device::flex().autodiff()));
//!
//! // Training: the objective makes the batch and the loss, the optimizer applies the gradients.
//! let objective = ObjectiveConfig::default().build();
//! let mut optimizer = Optimizer::new(&OptimizerConfig::default());
//! for step in 0..3 {
//!     let rows = packer.rows_at_step(step, 4)?;
//!     let batch = block_on(objective.batch(&rows, &models, Random::new(0, "tour", step, 0)))?;
//!     let rng_key = RngKey { seed: 0, step, micro_batch: 0 };
//!     let gradients = compute_gradients(&models, &[batch], &*objective, rng_key);
//!     models.policy = gradients.apply(models.policy, &mut optimizer, 1e-2, Some(1.0));
//! }
//!
//! // Inference: greedy decoding.
//! let model = models.policy.valid();
//! let generator = Generator::new(&model, &tokenizer)?;
//! let options = GenerateOptions { sampling: Sampling::greedy(), max_new_tokens: 8, ..GenerateOptions::default() };
//! let outputs = block_on(generator.generate(&["Ann has "], &options))?;
//! assert!(outputs[0].ids.len() <= 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`run::start`](train::run::start) does all of this from a [`Recipe`](prelude::Recipe), and adds evaluations, samples,
//! checkpoints and bit-identical resumption. The folder `examples/` of the repository has complete programs.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`spec`] | attention patterns, batch layouts, configuration, random numbers; no tensors |
//! | [`kernels`] | operations with a reference implementation and, on the CPU, fused kernels |
//! | [`nn`] | model components: attention, feed-forward networks, position encodings, norms, heads |
//! | [`models`] | model configuration, models, parameters by name, model families |
//! | [`data`] | from text to batches: sources, tokenizers, packing; the built-in stories |
//! | [`pretrained`] | pretrained models: Hugging Face hub and folders, GGUF, PEFT adapter folders |
//! | [`peft`] | adapters (LoRA) |
//! | [`infer`] | text generation, infilling, sentence embeddings |
//! | [`train`] | objectives, optimizers, schedules, recipes, runs, checkpoints |
//! | [`interpret`] | attention maps, logit lens, activation recording and patching |
//! | [`variants`] | all interchangeable components with their cards |
//! | [`recipes`] | the built-in recipes |
//! | [`page`] | HTML reports |
//! | `command` | the command `kiln` (feature `cli`) |
//!
//! # Features
//!
//! | feature | effect |
//! |---|---|
//! | `files` (default) | data, model folders and runs in the file system |
//! | `hub` (default) | models of the Hugging Face hub; turns on `files` |
//! | `cli` (default) | the command `kiln`, with clap, indicatif, miette, xz and others; turns on `hub` |
//! | `web-pages` | the web pages in the command (`kiln web`), from the folder `KILN_WEB_DIR` at compile time |
//! | `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, `rocm` | devices besides the CPU backend flex |
//!
//! A library user writes `kiln = { version = "0.1", default-features = false, features = ["hub"] }`. Without any feature the
//! crate reads data, models and runs from memory, and compiles for wasm32.
#![forbid(unsafe_code)]

pub use kiln_data as data;
pub use kiln_infer as infer;
pub use kiln_interpret as interpret;
pub use kiln_kernels as kernels;
pub use kiln_models as models;
pub use kiln_nn as nn;
pub use kiln_peft as peft;
pub use kiln_spec as spec;
pub use kiln_train as train;

pub mod pretrained {
    //! Pretrained models (the crate `kiln-pretrained`), and [`ModelSource`], which opens run folders too.

    pub use kiln_pretrained::*;
    #[cfg(feature = "files")]
    pub use kiln_train::pretrained::{ModelSource, SourceModel, load, run_origin};
}

#[cfg(feature = "cli")]
pub mod command;
pub mod page;
pub mod recipes;
pub mod variants;

/// The types that most programs need: `use kiln::prelude::*`.
pub mod prelude {
    pub use burn::tensor::Device;
    pub use kiln_data::{
        Batch, Corpus, DataConfig, DataError, PackedSequences, Packer, Source, Tokenizer, TokenizerConfig,
        ValidationSplit,
    };
    pub use kiln_infer::{GenerateOptions, Generator, Sampling, block_on};
    pub use kiln_models::{Model, ModelConfig, Visibility};
    pub use kiln_nn::Context;
    pub use kiln_pretrained::Pretrained;
    pub use kiln_spec::{Direction, Layout, Pattern, Random};
    pub use kiln_train::{
        Models, Objective, Recipe, StageConfig,
        run::{ProgressEvent, ProgressListener, RunContext},
    };
}

/// The Rust code of the README, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
