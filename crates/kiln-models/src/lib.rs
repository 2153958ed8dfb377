//! Models as values: configuration → blocks → model, and parameters by name.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod block;
pub mod config;
pub mod direction;
mod dtype_summary;
pub mod encoder;
pub mod hf;
pub mod model;
mod model_tensors;
pub mod parameters;
pub mod stack;
mod state_dict;
pub mod tensors;

pub use block::Block;
pub use config::{BlockConfig, ModelConfig, SublayerConfig, Visibility};
pub use direction::Incompatible;
pub use dtype_summary::DtypeSummary;
pub use encoder::Encoder;
pub use model::Model;
pub use parameters::{
    ModelTensors, NamedParameter, StateDict, WeightMismatch, for_each_param, load_state_dict, map_params,
    named_parameters, state_dict,
};
pub use stack::{EncoderConfig, Stack};
