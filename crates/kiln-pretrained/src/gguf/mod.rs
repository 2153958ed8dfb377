//! GGUF, the file format of llama.cpp: metadata by key, a tokenizer, and tensors that may be quantized in blocks.
//!
//! ```text
//! bytes ─► GgufReader (header, metadata, tensors) ─► read_as_hf: config.json and tensors under Hugging Face names ─► hf::load_model
//! ```
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Kiln reads versions 2 and 3, little-endian,
//! and writes version 3.
//!
//! An architecture is one file in [`arch`]: it translates metadata to a `config.json` and back, and tensor names. What
//! the model computes is defined by the model family of the Hugging Face format (see [`hf`](kiln_models::hf)).
//! [`GgufFile`] opens a model with its tokenizer, from one file or from the parts of a split one, [`GgufExport`] writes one.

pub mod arch;
mod cursor;
mod export;
mod file;
mod generation_metadata;
mod hf_view;
mod metadata;
#[cfg(feature = "files")]
mod part_files;
mod parts;
mod reader;
mod round_trip;
mod row_permutation;
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
pub use hf_view::{HfTensorView, read_as_hf};
pub use metadata::Metadata;
pub use reader::GgufReader;
pub use row_permutation::RowPermutation;
#[cfg(feature = "files")]
pub use save::save_gguf;
pub use split::{SplitError, split_part_names};
pub use tokenizer::{read_tokenizer, write_tokenizer};
pub use value::{Array, Value};
pub use write::{PlannedTensor, write_gguf};
