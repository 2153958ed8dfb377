//! Pretrained models: Hugging Face folders and the hub, GGUF files, pickles, PEFT adapter folders.
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
#[cfg(feature = "files")]
pub mod source;

pub use error::PretrainedError;
pub use generation::{GenerationMode, GenerationSettings, PromptFormat};
#[cfg(feature = "files")]
pub use location::{FetchModel, ModelLocation};
pub use pretrained::{Pretrained, PretrainedModel};
#[cfg(feature = "files")]
pub use source::{BaseFiles, PretrainedSource};
