//! Fuzz targets: a function for each reader. True if the whole file was read, false if it was refused.
//!
//! The programs of `fuzz/`, at the root of the repository, use the same functions.

mod folder;
mod text;
mod weights;

pub use folder::{adapter, csv_rows, data_file, json_rows, parquet, safetensors, safetensors_index, tokenizer_config};
pub use text::{chat_template, config, modules, sentencepiece, tokenizer, tokenizer_folder};
pub use weights::{gguf, pickle};
