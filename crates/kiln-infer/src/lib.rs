//! Inference: text generation from cached state, infilling, embeddings, and checks of models and tokenizers.
//!
//! | step | types | result |
//! |---|---|---|
//! | 1. model and tokenizer | [`Generator`] with a [`GenerationMode`] | text in, text out |
//! | 2. options | [`GenerateOptions`] with [`Sampling`] and [`LogitsProcessors`] | temperature, top-p, penalties, stop texts; [`GenerateOptions::resolve`] applies a model's `generation_config.json` |
//! | 3. text | [`Generator::generate`], [`Generator::stream`] → [`GeneratedText`], [`TextStream`] | continuations, at once or piece by piece |
//! | 4. token ids | [`GenerateRequest`] → [`Generation`] → [`GeneratedToken`], [`GenerateOutput`] | batched decoding with a KV cache |
//! | probabilities | [`GenerateOptions::alternatives`] → [`TextToken`], [`TokenProbabilities`] | each token's probability and the most likely alternatives |
//! | 5. reuse | [`PrefixCache`] | the state after texts, for the next turn of a chat or other texts with the same beginning: `fork`, `select`, `append`, `truncate` |
//! | infilling | [`Generator::infill`], [`InfillRequest`] → [`InfillOutput`] | filled blanks (`___`) of a masked language model |
//! | embeddings | [`embed()`], [`SentenceEncoder`] | one vector per text |
//! | retrieval | [`retrieval::RetrievalTask`] → [`retrieval::RetrievalScores`] | nDCG, recall and MRR of documents ranked by their embeddings |
//! | checks | [`equivalence`], [`row_equivalence`], [`tokenizer_checks`] | differences that should be 0, for `kiln verify` |
//!
//! ```
//! use burn::tensor::Device;
//! use kiln_data::{Tokenizer, TokenizerConfig};
//! use kiln_infer::{GenerateOptions, Generator, Sampling, block_on};
//! use kiln_models::{Model, ModelConfig};
//!
//! // A byte-level tokenizer and a model of one block with random weights.
//! let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), ["Ann has a cat."].map(Ok))?;
//! let mut config = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 32, ..ModelConfig::default() };
//! config.blocks[0].repeat = 1;
//! let model = Model::init(&config, 0, &Device::flex());
//!
//! let generator = Generator::new(&model, &tokenizer)?;
//! let sampling = Sampling { temperature: 0.8, top_p: Some(0.9), seed: 1, ..Sampling::default() };
//! let options = GenerateOptions { sampling, max_new_tokens: 8, ..GenerateOptions::default() };
//! let output = block_on(generator.generate(&["Ann"], &options))?.remove(0);
//!
//! // Streaming yields the same text.
//! let mut stream = generator.stream("Ann", &options)?;
//! let mut text = String::new();
//! while let Some(piece) = block_on(stream.next())? {
//!     text += &piece;
//! }
//! assert_eq!((text, stream.ids()), (output.text, output.ids.as_slice()));
//! # Ok::<(), kiln_infer::GenerateError>(())
//! ```
//!
//! The crate uses no threads, files or clocks, so that it also runs in a browser. Functions that read from the device are
//! `async`; native programs wait with [`block_on`].
#![forbid(unsafe_code)]

pub mod embed;
pub mod equivalence;
pub mod error;
mod executor;
pub mod generate;
pub mod generate_options;
pub mod generator;
pub mod infill;
pub mod infill_text;
pub mod prefix_cache;
pub mod processors;
pub mod request;
mod resolve;
pub mod retrieval;
mod row;
pub mod row_equivalence;
mod row_text;
mod rows;
pub mod sample;
pub mod sentence_encoder;
mod stop_scanner;
pub mod text_stream;
pub mod token_probabilities;
pub mod tokenizer_checks;

pub use embed::embed;
pub use error::GenerateError;
pub use executor::block_on;
pub use generate::{Generation, generate};
pub use generate_options::GenerateOptions;
pub use generator::{GeneratedText, Generator};
pub use infill::{InfillRequest, infill};
pub use infill_text::{BLANK, InfillOptions, InfillOutput};
pub use kiln_kernels::attention::paged::CacheDtype;
pub use kiln_nn::StateError;
pub use kiln_pretrained::{GenerationMode, PromptFormat, generation::GenerationConfig};
pub use prefix_cache::PrefixCache;
pub use processors::{LogitsProcessors, TokenHistory};
pub use request::{FinishReason, GenerateOutput, GenerateRequest, GeneratedToken};
pub use row_text::TextToken;
pub use sample::Sampling;
pub use sentence_encoder::SentenceEncoder;
pub use text_stream::TextStream;
pub use token_probabilities::{Alternative, TokenProbabilities};
