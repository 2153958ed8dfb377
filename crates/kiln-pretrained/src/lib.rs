//! Pretrained models: Hugging Face folders and the hub, GGUF files, pickles, PEFT adapter folders.
#![deny(unsafe_code)]

#[cfg(feature = "files")]
pub mod files;
pub mod gguf;
#[cfg(feature = "hub")]
pub mod hub;
pub mod peft_format;
pub mod pickle;
