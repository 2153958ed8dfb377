//! GGUF, the file format of llama.cpp: metadata by key, a tokenizer, and tensors that may be quantized in blocks.
//!
//! ```text
//! bytes ─► GgufReader (header, metadata, tensors) ─► read_model: family and configuration ─► hf::load_model
//! ```
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Kiln reads versions 2 and 3, little-endian,
//! and writes version 3.
//!
//! Architectures are a column of the families' tables: metadata and tensor names follow from
//! [`hf::gguf`](kiln_models::hf::gguf).
//! [`GgufFile`] opens a model with its tokenizer, from one file or from the parts of a split one, [`GgufExport`] writes one.

mod cursor;
mod export;
mod file;
mod generation_metadata;
mod metadata;
mod model;
#[cfg(feature = "files")]
mod part_files;
mod parts;
mod reader;
mod round_trip;
mod sampling;
#[cfg(feature = "files")]
mod save;
mod split;
mod tokenizer;
mod value;
mod write;

pub use cursor::GgufError;
pub use export::{ExportError, GgufExport};
pub use file::GgufFile;
pub use generation_metadata::generation_metadata;
pub use metadata::Metadata;
pub use model::{GgufModel, read_model};
pub use reader::GgufReader;
#[cfg(feature = "files")]
pub use save::save_gguf;
pub use split::{SplitError, split_part_names};
pub use tokenizer::{read_tokenizer, write_tokenizer};
pub use value::{Array, Value};
pub use write::{PlannedTensor, write_gguf};
