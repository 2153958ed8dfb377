//! Text to training batches, in host memory.
//!
//! Data flows through these types, in this order:
//!
//! | step | types | result |
//! |---|---|---|
//! | 1. source | [`DataConfig`], [`Dataset`], [`Source`], [`Document`] | documents: text, JSON, CSV and Parquet files, generated stories |
//! | | [`Example`], [`ExampleFormat`] | examples of several fields: chats, prompts with completions, preferences, pairs |
//! | 2. split | [`ValidationSplit`] | each document belongs to the training or the validation subset, by its hash |
//! | 3. tokenizer | [`TokenizerConfig`], [`Tokenizer`], [`Vocabulary`] | token ids and special tokens |
//! | 4. corpus | [`Corpus`], [`TokenizedDocuments`], [`DiskSpace`] | all documents as token ids, in memory or in a scratch file |
//! | 5. pack | [`Packer`], [`PackedSequences`], [`Sequence`] | rows of `sequence_length` tokens, in the order of an epoch; groups stay whole |
//! | 6. batch | [`Segment`], [`Batch`], [`EncoderBatch`] | inputs, targets and loss weights, `[batch_size, sequence_length]` |
//! | 7. prefetch | `Prefetcher` | batches prepared on another thread while the model trains |
//!
//! For generation the flow is shorter: [`ChatTemplate`] renders a conversation to text, [`Tokenizer::encode_prompt`]
//! gives its ids, and [`StreamDecoder`] turns generated ids back into text.
//!
//! Everything is deterministic: the same source, configuration and seed give the same batches on every machine.
//! Errors are [`DataError`]s: they name the file and the line, and [`DataError::help`] says what to do.
//!
//! # Example
//!
//! Train a tokenizer on a few texts, tokenize them, pack the ids into rows, and take the batch of the first step.
//!
//! ```
//! use kiln_data::{
//!     Batch, Corpus, DiskSpace, Packer, Tokenizer, TokenizerConfig, ValidationSplit, next_token_batch,
//!     tokenizer::MAX_TRAINING_BYTES,
//! };
//! use kiln_spec::Direction;
//! use std::sync::Arc;
//!
//! let source: Vec<String> = (0..40).map(|i| format!("Ann has {i} cats and {i} hats.")).collect();
//! let split = ValidationSplit::new(&source, 0.2)?;
//! let texts = split.training_sample(&source, MAX_TRAINING_BYTES)?;
//! let tokenizer = Tokenizer::train(&TokenizerConfig::default(), texts)?;
//! assert_eq!(tokenizer.decode(&tokenizer.encode("Ann has 7 hats."))?, "Ann has 7 hats.");
//!
//! let corpus = Corpus::build(&source, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ())?;
//! let packer = Packer::training(Arc::new(corpus), 64, 7)?; // 64 tokens per row, seed 7
//! let batch: Batch = next_token_batch(&packer.rows_at_step(0, 4)?, Direction::Causal)?; // 4 rows
//! assert_eq!((batch.batch_size, batch.sequence_length, batch.inputs.len()), (4, 64, 256));
//! assert_eq!(batch.inputs[0], tokenizer.special_tokens().bos as i32);
//! # Ok::<(), kiln_data::DataError>(())
//! ```
//!
//! # Features
//!
//! - `files` (default): sources, tokenizers and templates from files; the [`Corpus`] may spill to disk; `Prefetcher`.
//!   Without it nothing in this crate touches files, threads or clocks, so that it runs in a browser.
#![forbid(unsafe_code)]

pub mod batch;
pub mod chat;
pub mod config;
pub mod corpus;
pub mod dataset;
pub mod encoder_decoder;
mod error;
pub mod example;
pub mod file_set;
pub mod non_finite;
pub mod pack;
mod pause;
#[cfg(feature = "files")]
pub mod prefetch;
pub mod source;
pub mod stories;
pub mod tokenizer;

pub use batch::{Batch, BatchSequence, Segment, next_token_batch, next_token_segment, weighted_next_token_segment};
pub use chat::{ChatTemplate, ChatTemplateOptions};
pub use config::{DataConfig, FilesConfig, MixtureSource, SourceConfig};
pub use corpus::{Corpus, CorpusBuilder, DiskSpace, DocumentPart, Subset, TokenizedDocuments, ValidationSplit};
pub use dataset::{Dataset, SourceSummary};
pub use encoder_decoder::{EncoderBatch, encoder_decoder_batch};
pub use error::DataError;
pub use example::{Example, ExampleFormat, ExampleKind};
pub use file_set::{FileSet, MemoryFiles};
pub use pack::{PackedSequences, Packer, RowSize, Sequence};
pub use pause::Pause;
#[cfg(feature = "files")]
pub use prefetch::Prefetcher;
pub use source::{Document, ReadFile, Source, StopSignal, StoppableSource, report::ReadReport};
pub use tokenizer::{Encoding, SpecialTokens, StreamDecoder, TokenRole, Tokenizer, TokenizerConfig, Vocabulary};

/// Bytes as lowercase hexadecimal digits, two per byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
