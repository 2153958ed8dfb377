//! Text to batches, on the host: source → tokenizer → corpus → pack → batch.
//!
//! Without the feature `files` nothing here touches files, threads or clocks.
//!
//! ```
//! use kiln_data::{Batch, Corpus, Packer, Room, Split, Tokenizer, TokenizerConfig, next_token, tokenizer::TRAINING_TEXT};
//! use kiln_spec::Direction;
//! use std::sync::Arc;
//!
//! let source: Vec<String> = (0..40).map(|i| format!("Ann has {i} cats and {i} hats.")).collect();
//! let split = Split::new(&source, 0.2)?;
//! let texts = split.sample(&source, TRAINING_TEXT)?;
//! let tokenizer = Tokenizer::train(&TokenizerConfig::default(), texts)?;
//! let corpus = Corpus::build(&source, &split, &tokenizer, &Room::memory(), |_, _| ())?;
//!
//! let packer = Packer::training(Arc::new(corpus), 64, 7)?;
//! let batch: Batch = next_token(&packer.step(0, 4)?, Direction::Causal)?;
//! assert_eq!((batch.rows, batch.width, batch.inputs.len()), (4, 64, 256));
//! assert_eq!(batch.inputs[0], tokenizer.specials().bos as i32);
//! # Ok::<(), kiln_data::DataError>(())
//! ```
#![forbid(unsafe_code)]

pub mod batch;
pub mod chat;
pub mod config;
pub mod corpus;
pub mod encoder_decoder;
mod error;
pub mod file_set;
pub mod pack;
#[cfg(feature = "files")]
pub mod prefetch;
pub mod source;
pub mod stories;
pub mod tokenizer;

pub use batch::{Batch, Segment, next_token_batch, next_token_segment};
pub use chat::{ChatTemplate, ChatTemplateOptions};
pub use config::{DataConfig, FilesConfig, SourceConfig};
pub use corpus::{Corpus, DiskSpace, Subset, TokenizedDocuments, ValidationSplit};
pub use encoder_decoder::{EncoderBatch, encoder_decoder_batch};
pub use error::DataError;
pub use file_set::{FileSet, MemoryFiles};
pub use pack::{PackedSequences, Packer, Sequence};
#[cfg(feature = "files")]
pub use prefetch::Prefetcher;
pub use source::{Document, Source, StopSignal, StoppableSource};
pub use tokenizer::{Encoding, SpecialTokens, StreamDecoder, TokenRole, Tokenizer, TokenizerConfig, Vocabulary};

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
