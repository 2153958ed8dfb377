//! GGUF, the format of llama.cpp: metadata by key, a tokenizer, and tensors that may be packed in blocks.
//!
//! ```text
//! bytes ─► File (header, metadata, tensors) ─► config.json and tensors under Hugging Face's names ─► hf::assemble
//! ```
//!
//! An architecture is one file in `arch/`: it translates metadata and names; what the model is, the family of
//! Hugging Face's files says (see [`hf`](crate::hf)).

pub mod arch;
mod back;
mod cursor;
mod error;
mod export;
mod file;
mod metadata;
mod renamed;
mod tokenizer;
mod turn;
mod value;
mod write;

pub use error::GgufError;
pub use export::{Export, ExportError};
pub use file::File;
pub use metadata::Metadata;
pub use renamed::{Renamed, read};
pub use tokenizer::Carried;
pub use turn::Turn;
pub use value::{Array, Value};
pub use write::{Planned, write};
