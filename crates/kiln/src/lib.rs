//! Kiln: language models made of parts, for Burn.
//!
//! This crate gathers the others under one roof and holds the command `kiln`.
//!
//! | module | what is in it |
//! |---|---|
//! | [`spec`] | who sees whom, configuration, random numbers: no tensors |
//! | [`kernels`] | operations with several implementations, and who chooses among them |
//! | [`nn`] | the parts of models |
//! | [`models`] | models as values |
//! | [`data`] | text to batches |
//! | [`infer`] | text from a model |
//! | [`peft`] | fine-tuning with few parameters |
//! | [`train`] | objective, step, stage, recipe, run |
//! | [`interpret`] | what passes in a model: maps, lenses, patches |
//! | [`variants`] | every family of variants with its cards |
//! | [`pretrained`] | models by name: runs, Hugging Face folders, GGUF files |
//! | [`page`] | reports that people look at |
//!
//! A model is a value, and so is what it is trained for:
//!
//! ```
//! use kiln::prelude::*;
//!
//! let config = ModelConfig { vocab: 297, hidden: 16, ..ModelConfig::default() };
//! config.check("model")?;
//! let model = Model::init(&config, 0, &Device::flex());
//!
//! let texts = ["Ann has a cat.", "Ben has a hat."].map(|text| Ok::<_, DataError>(text.to_string()));
//! let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), texts)?;
//! let options = Options { sampling: Sampling::greedy(), tokens: 8, ..Options::default() };
//! let written = block_on(Generator::new(&model, &tokenizer)?.write(&["Ann "], &options))?;
//! assert!(written[0].ids.len() <= 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
    pub use kiln_train::pretrained::{ModelSource, SourceModel, load, run_origin};
}

#[cfg(feature = "cli")]
pub mod command;
pub mod page;
pub mod variants;

/// What most programs need.
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
