//! Configuration that is plain data: read, merged, changed from a command line, explained and refused with a place.
//!
//! * [`choice!`](crate::choice): one of several named alternatives, as a bare word or a table with one key;
//! * [`parse`], [`from_table`], [`Layered`]: from text to a typed value, errors with file and line;
//! * [`merge`] and [`set`]: a recipe over its parent, and `--set a.0.b=value`, both by the schema;
//! * [`explain`]: every key with its meaning, default and legal values, from the schema;
//! * [`ConfigError`], [`Refusal`], [`nearest`]: what went wrong, where, and what to do.
mod choice;
mod error;
mod explain;
mod legal;

mod layered;
mod locate;
mod merge;
mod message;
mod nearest;
mod path;
mod read;
mod set;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use choice::Choice;
pub use error::{ConfigError, Fault, Refusal};
pub use explain::{Key, explain, legal_keys};

pub use layered::{Layered, from_table, parse, to_toml};
pub use merge::merge;
pub use nearest::nearest;
pub use set::set;
pub use write::Nothing;

/// What [`choice!`](crate::choice) expands to; not for use by hand.
#[doc(hidden)]
pub mod private {
    pub use super::read::read;
    pub use super::write::{schema, write};
    pub use {schemars, serde, serde_json};
}
