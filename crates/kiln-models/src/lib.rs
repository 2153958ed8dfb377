//! Models as values: configuration → blocks → model, and parameters by name.
#![forbid(unsafe_code)]

pub mod block;
pub mod config;
pub mod direction;
pub mod model;
pub mod names;

pub use block::Block;
pub use config::{BlockConfig, ModelConfig, Stack, SublayerConfig, Visibility};
pub use direction::Unfit;
pub use model::Model;
pub use names::{Mismatch, Name, Values, Walk, filled, names, values};
