//! Parameter-efficient fine-tuning: adapters at sites of a model whose own weights stay frozen.
//!
//! The types in the order of data flow:
//!
//! 1. [`AdapterConfig`] names a method and its options, [`LoraConfig`] for LoRA; it is the `adapter` table of a recipe's
//!    stage.
//! 2. [`attach`](attach()) adds new adapters to a model. At first they change nothing: the model computes the same bits.
//!    [`attach_named`] adds further ones, each with a name and a factor ([`set_weights`]).
//! 3. Training computes gradients of [`AdapterConfig::trainable_patterns`] only.
//! 4. [`set_enabled`] switches adapters off and on, [`detach`] removes them, [`merge`](merge()) adds them to the weights;
//!    [`MergedModel`] can be undone.
//! 5. [`xlora`] mixes adapters by factors of each token.
//!
//! All of these return a new model that shares the base weights with the given one. The computation of an adapter is in
//! [`kiln_nn::adapter`], its files in PEFT's format are in `kiln-pretrained`.
//!
//! ```
//! use burn::tensor::Device;
//! use kiln_models::{Model, ModelConfig};
//! use kiln_peft::{AdapterConfig, LoraConfig, attach, merge};
//!
//! let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
//! config.resolve();
//! let base = Model::init(&config, 0, &Device::flex());
//!
//! // Rank-2 adapters on the query and value projections of the four blocks.
//! let lora = LoraConfig { rank: 2, target_modules: vec!["q".into(), "v".into()], ..LoraConfig::default() };
//! let adapted = attach(&base, &AdapterConfig::Lora(lora), 1)?;
//! assert_eq!(adapted.adapters().len(), 8);
//!
//! let merged = merge(&adapted)?;
//! assert!(merged.adapters().is_empty());
//! # Ok::<(), kiln_spec::ValidationError>(())
//! ```
#![forbid(unsafe_code)]

pub mod attach;
pub mod merge;
pub mod targets;
pub mod xlora;

pub use attach::{attach, attach_named, detach, detach_named, set_active, set_enabled, set_weights};
pub use kiln_nn::adapter::{AdapterConfig, AdapterOptions, LoraConfig};
pub use merge::{MergedModel, merge};
pub use targets::{build_adapters, config_of};
