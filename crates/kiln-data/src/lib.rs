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

pub mod across;
pub mod batch;
pub mod config;
pub mod corpus;
mod error;
pub mod pack;
#[cfg(feature = "files")]
pub mod prefetch;
pub mod source;
pub mod stories;
pub mod tokenizer;

pub use across::{Memory, split};
pub use batch::{Batch, Segment, next_token, next_token_of};
pub use config::{DataConfig, FilesConfig, SourceConfig};
pub use corpus::{Corpus, Room, Side, Split, Texts};
pub use error::DataError;
pub use pack::{Packed, Packer, Sequence};
#[cfg(feature = "files")]
pub use prefetch::Prefetch;
pub use source::{Document, Source, Stop, Until};
pub use tokenizer::{Encoding, Role, Specials, StreamDecoder, Tokenizer, TokenizerConfig, Vocabulary};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
