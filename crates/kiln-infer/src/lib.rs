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

pub mod blank;
pub mod embed;
pub mod error;
pub mod fill;
pub mod generate;
pub mod identities;
pub mod reading;
pub mod request;
pub mod sample;
pub mod text;
pub mod texts;
pub mod usage;
mod wait;

pub use blank::{BLANK, Filled, Filling};
pub use embed::embed;
pub use error::GenerateError;
pub use fill::{Blanks, fill};
pub use generate::{Generation, generate};
pub use reading::Reading;
pub use request::{Output, Request, Stop, Token};
pub use sample::Sampling;
pub use text::{Generator, Options, TextStream, Written};
pub use usage::{Opening, Usage};
pub use wait::block_on;
