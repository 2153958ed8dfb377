//! Language models as data: a configuration, the model that it describes, its parameters by name, and the model families
//! of Hugging Face.
//!
//! The types in the order of data flow:
//!
//! 1. [`ModelConfig`] describes a model completely: a [`Stack`] of blocks ([`BlockConfig`]), each a list of sublayers
//!    ([`SublayerConfig`]), each one or several parts of `kiln-nn` under one junction. It is plain data with serde:
//!    [`ModelConfig::resolve`] writes down defaults that depend on other settings, [`ModelConfig::check`] reports what
//!    cannot work.
//! 2. [`Model`] is the Burn module built from it: [`Model::init`] with new weights, [`hf::load_model`] with weights from
//!    a file. [`Model::forward`] serves training, prefill and decoding; [`Model::step`] runs one chunk of decoding.
//! 3. [`for_each_param`] and [`map_params`] walk over the parameters, [`state_dict`] and [`load_state_dict`] read and
//!    write all values by name. Names (`blocks.7.attention.q.weight`) depend on the configuration alone.
//! 4. [`Model::with_adapters`] attaches adapters (LoRA) to linear layers; all other parameters are shared.
//! 5. [`tensors::TensorSource`] is where weights are read from, tensor by tensor: a file of `kiln-pretrained`, a map in
//!    memory, or a model ([`ModelTensors`]).
//! 6. [`hf`] translates a `config.json` to a [`ModelConfig`] and back, and tensor names to parameter names.
//!
//! ```
//! use burn::tensor::Device;
//! use kiln_models::{Model, ModelConfig, hf, named_parameters};
//! use kiln_nn::State;
//! use kiln_spec::Direction;
//!
//! // A Llama of two blocks: the default parts, and the sizes that have no useful default.
//! let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
//! config.blocks[0].repeat = 2;
//! config.resolve();
//! config.check("model")?;
//!
//! let model = Model::init(&config, 7, &Device::flex());
//! assert_eq!(named_parameters(&model)[0].shape, [11, 16]);
//!
//! // Three tokens in one row, then the logits of the next token after each of them.
//! let (hidden, state) = model.step(&[4, 0, 9], &[3], Direction::Causal, State::new(1));
//! assert_eq!(hidden.dims(), [1, 3, 16]);
//! assert_eq!(model.logits(hidden.reshape([3, 16])).dims(), [3, 11]);
//! assert_eq!(state.next_positions(), [3]);
//!
//! // The same model as a config.json of Hugging Face, and back.
//! let (family, config_json) = hf::find_family(&config)?;
//! assert_eq!(family.name, "llama");
//! assert!(hf::config_diff(&config, &hf::read_config(&config_json)?.1).is_empty());
//! # Ok::<(), kiln_spec::ValidationError>(())
//! ```
#![forbid(unsafe_code)]

pub mod adapters;
pub mod block;
pub mod config;
pub mod direction;
mod dtype_summary;
pub mod encoder;
pub mod hf;
pub mod model;
pub mod parameters;
pub mod precision;
pub mod stack;
pub mod tensors;
mod untie;
mod virtual_tokens;

pub use block::Block;
pub use config::{BlockConfig, ModelConfig, SublayerConfig, Visibility};
pub use direction::Incompatible;
pub use dtype_summary::DtypeSummary;
pub use encoder::Encoder;
pub use model::Model;
pub use parameters::{
    HeldWeights, ModelTensors, NamedParameter, StateDict, WeightMismatch, for_each_param, load_held_weights,
    load_state_dict, map_params, named_parameters, state_dict,
};
pub use precision::WeightPrecision;
pub use stack::{EncoderConfig, Stack};
