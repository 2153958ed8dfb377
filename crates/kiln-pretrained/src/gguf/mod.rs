//! GGUF, the format of llama.cpp: metadata by key, a tokenizer, and tensors that may be packed in blocks.
//!
//! ```text
//! bytes ─► File (header, metadata, tensors) ─► config.json and tensors under Hugging Face's names ─► hf::assemble
//! ```
//!
//! An architecture is one file in `arch/`: it translates metadata and names; what the model is, the family of
//! Hugging Face's files says (see [`hf`](kiln_models::hf)).

pub mod arch;
mod cursor;
mod error;
mod export;
mod file;
mod hf_view;
mod metadata;
mod reader;
mod round_trip;
mod row_permutation;
#[cfg(feature = "files")]
mod save;
mod tokenizer;
mod value;
mod write;

pub use error::GgufError;
pub use export::{ExportError, GgufExport};
pub use file::GgufFile;
pub use hf_view::{HfTensorView, read_as_hf};
pub use metadata::Metadata;
pub use reader::GgufReader;
pub use row_permutation::RowPermutation;
#[cfg(feature = "files")]
pub use save::save_gguf;
pub use tokenizer::{read_tokenizer, write_tokenizer};
pub use value::{Array, Value};
pub use write::{PlannedTensor, write_gguf};
