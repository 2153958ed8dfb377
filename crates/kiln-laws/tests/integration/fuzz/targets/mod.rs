//! What reads a file: true if all of it is read, false if it is refused.
//!
//! The fuzz targets in `fuzz/`, at the root of the repository, are these.

mod folder;
mod text;
mod weights;

pub use folder::{adapter, parquet, safetensors, safetensors_index, tokenizer_config};
pub use text::{chat_template, config, modules, sentencepiece, tokenizer};
pub use weights::{gguf, pickle};
