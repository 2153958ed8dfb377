//! Fine-tuning with few parameters: adapters beside the linear maps of a model that stays as it is.
//!
//! * [`config`]: which method, and beside which maps;
//! * [`attach`](mod@attach): a model with adapters, without, or with them switched off;
//! * [`merge`](mod@merge): the plain model that does the same, and back.
#![forbid(unsafe_code)]

pub mod attach;
pub mod config;
pub mod lora;
pub mod merge;
mod targets;

pub use attach::{attach, detach, set_enabled};
pub use config::AdapterConfig;
pub use lora::LoraConfig;
pub use merge::{MergedModel, merge};
