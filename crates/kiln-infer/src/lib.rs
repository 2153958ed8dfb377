//! Text from a language model: prompt → generation → sample, from cached state.
//!
//! * [`sample`]: from logits to a token, on the host;
//! * [`request`] and [`mod@generate`]: several prompts at once, token by token;
//! * [`text`]: the same from text to text;
//! * [`identities`]: what must be equal, as functions.
//!
//! Nothing here needs threads, files or clocks. What reads from the device is `async`; a host waits with [`block_on`].
#![forbid(unsafe_code)]

pub mod error;
pub mod generate;
pub mod identities;
pub mod request;
pub mod sample;
pub mod text;
mod wait;

pub use error::GenerateError;
pub use generate::{Generation, generate};
pub use request::{Output, Request, Stop, Token};
pub use sample::Sampling;
pub use text::{Generator, Options, TextStream, Written};
pub use wait::block_on;
