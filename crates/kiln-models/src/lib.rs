//! Models as values: configuration → blocks → model, and parameters by name.
#![deny(unsafe_code)]

pub mod adapters;
pub mod block;
pub mod config;
pub mod direction;
pub mod encoder;
#[cfg(feature = "files")]
pub mod files;
mod fill;
pub mod gguf;
pub mod hf;
#[cfg(feature = "hub")]
pub mod hub;
pub mod model;
pub mod names;
pub mod pickle;
mod reader;
pub mod stack;
mod stored;
pub mod tensors;

pub use block::Block;
pub use config::{BlockConfig, ModelConfig, SublayerConfig, Visibility};
pub use direction::Unfit;
pub use encoder::Encoder;
pub use model::Model;
pub use names::{Mismatch, Name, Reader, Values, Walk, filled, names, values};
pub use stack::{EncoderConfig, Stack};
pub use stored::Stored;
