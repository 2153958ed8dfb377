//! Text from a language model: prompt → generation → sample, from cached state.
//!
//! * [`sample`]: from logits to a token, on the host;
//! * [`request`] and [`mod@generate`]: several prompts at once, token by token;
//! * [`reading`]: what was read, to go on from;
//! * [`embed`](mod@embed): a vector a text;
//! * [`fill`](mod@fill): blanks in a text;
//! * [`text`] and [`blank`]: the same from text to text;
//! * [`identities`] and [`texts`]: what must be equal and what must come back, as functions.
//!
//! Nothing here needs threads, files or clocks. What reads from the device is `async`; a host waits with [`block_on`].
#![forbid(unsafe_code)]

pub mod embed;
pub mod equivalence;
pub mod error;
mod executor;
pub mod generate;
pub mod generator;
pub mod infill;
pub mod infill_text;
pub mod prefix_cache;
pub mod request;
pub mod sample;
pub mod tokenizer_checks;

pub use embed::embed;
pub use error::GenerateError;
pub use executor::block_on;
pub use generate::{Generation, generate};
pub use generator::{GenerateOptions, GeneratedText, Generator, TextStream};
pub use infill::{InfillRequest, infill};
pub use infill_text::{BLANK, InfillOptions, InfillOutput};
pub use kiln_pretrained::{GenerationMode, PromptFormat};
pub use prefix_cache::PrefixCache;
pub use request::{FinishReason, GenerateOutput, GenerateRequest, GeneratedToken};
pub use sample::Sampling;
