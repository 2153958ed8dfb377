//! Pretrained models: loading from every source, and the file formats that they come in.
//!
//! The front door is [`Pretrained::load`]: a model with its tokenizer, chat template and generation settings.
//!
//! | source | example | module |
//! |---|---|---|
//! | Hugging Face folder: safetensors or PyTorch weights | `models/SmolLM2-135M` | [`files`], [`pickle`] |
//! | name on the hub (feature `hub`) | `HuggingFaceTB/SmolLM2-135M`, `owner/name:file.gguf` | `hub` |
//! | GGUF file, quantized or not | `model.Q4_K_M.gguf` | [`gguf`] |
//! | PEFT adapter folder; its base is any of these | `adapters/my-lora` | [`peft_format`] |
//! | bytes in memory ([`Pretrained::from_bytes`]): no file system needed, as in a browser | | |
//! | run folder of Kiln | `runs/stories` | opened by `kiln_train::pretrained::load` |
//!
//! `kiln_train::pretrained::load` accepts all sources on disk and run folders too: a run folder can only be read with its
//! recipe, which `kiln-train` defines. It returns the same [`Pretrained`].
//!
//! The types in the order of data flow:
//!
//! 1. [`ModelLocation`] finds files: it resolves names on the hub and follows adapter folders to their base model.
//! 2. [`PretrainedSource`] opens them. Its methods read single parts: configuration, tokenizer, chat template, weights.
//! 3. [`files::ModelFolder`] and [`gguf::GgufFile`] open one model, on disk or in memory. Both give a `config.json`, which
//!    a family of [`kiln_models::hf`] translates, and a [`TensorSource`](kiln_models::tensors::TensorSource), from which
//!    weights are loaded one tensor at a time.
//! 4. [`PretrainedModel`] is the loaded model with its configuration, [`Pretrained`] the model ready to use, with
//!    [`GenerationSettings`].
//! 5. Written are folders ([`files::save`]), GGUF files ([`gguf::GgufExport`]) and adapter folders
//!    ([`peft_format::write_adapters`]).
//!
//! Errors name the file and the key: [`PretrainedError`] contains [`files::LoadError`], [`gguf::GgufError`],
//! [`pickle::PickleError`] and the others. Files are untrusted: sizes are checked before memory is allocated, pickles are
//! not executed, and file names cannot lead out of a model's folder.
//!
//! # Example
//!
//! A tiny model with random weights is saved as a Hugging Face folder and loaded, first from disk, then from bytes.
//!
//! ```
//! # #[cfg(feature = "files")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use burn::tensor::Device;
//! use kiln_data::{DataError, Tokenizer, TokenizerConfig};
//! use kiln_models::{Model, ModelTensors, hf};
//! use kiln_pretrained::{Pretrained, files};
//!
//! let texts = ["Ann has a cat."].map(|text| Ok::<_, DataError>(text.to_string()));
//! let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), texts)?;
//! let config_json = serde_json::json!({
//!     "model_type": "gpt2", "vocab_size": tokenizer.vocab_size(), "n_positions": 16, "n_embd": 8, "n_layer": 1,
//!     "n_head": 2,
//! });
//! let (_, config) = hf::read_config(&config_json)?;
//! let model = Model::init(&config, 7, &Device::flex());
//!
//! let folder = tempfile::tempdir()?;
//! let options = files::SaveOptions { config_json: Some(&config_json), ..Default::default() };
//! files::save(folder.path(), &config, &ModelTensors::new(&model), options)?;
//! files::save_json(&folder.path().join("tokenizer.json"), &serde_json::from_str(tokenizer.to_json())?)?;
//!
//! let pretrained = Pretrained::load_on(folder.path(), &Device::flex())?;
//! assert_eq!(pretrained.model.config().hidden, 8);
//! assert_eq!(pretrained.tokenizer.decode(&pretrained.tokenizer.encode("Ann"))?, "Ann");
//! assert!(pretrained.generation.mode.generates.is_some());
//!
//! let names = ["config.json", "model.safetensors", "tokenizer.json"];
//! let mapped = names.map(|name| files::MappedFile::open(&folder.path().join(name)).unwrap());
//! let bytes = names.into_iter().zip(mapped.iter().map(files::MappedFile::bytes));
//! let same = Pretrained::from_bytes(bytes, &Device::flex())?;
//! assert_eq!(same.model.config().vocab, tokenizer.vocab_size());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "files"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! * `files` (default): folders and files on disk. Without it, the crate needs no file system.
//! * `hub`: downloads from the Hugging Face hub.
//! * `testing`: `hub::test_server`, a local server that answers as the hub does.
#![deny(unsafe_code)]

mod error;
pub mod files;
pub mod generation;
pub mod gguf;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "files")]
mod location;
pub mod peft_format;
pub mod pickle;
mod pretrained;
pub mod sentence;
#[cfg(feature = "files")]
pub mod source;

pub use error::PretrainedError;
pub use generation::{GenerationMode, GenerationSettings, PromptFormat};
#[cfg(feature = "files")]
pub use location::{FetchModel, ModelLocation};
pub use pretrained::{Pretrained, PretrainedModel};
#[cfg(feature = "files")]
pub use source::{BaseFiles, PretrainedSource};
