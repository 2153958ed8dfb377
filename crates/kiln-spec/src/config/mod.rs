//! Configuration that is plain data: read, merged, changed from a command line, explained and refused with a place.
//!
//! * [`choice!`](crate::choice): one of several named alternatives, as a bare word or a table with one key;
//! * [`parse`], [`from_table`], [`Layered`]: from text to a typed value, errors with file and line;
//! * [`merge`] and [`set`]: a recipe over its parent, and `--set a.0.b=value`, both by the schema;
//! * [`selected_choices`]: every choice in a configuration, with its path;
//! * [`explain`]: every key with its meaning, default and legal values, from the schema;
//! * [`ConfigError`], [`Refusal`], [`nearest`]: what went wrong, where, and what to do.
mod aliases;
mod allowed_values;
mod choice;
mod error;
mod explain;

mod deserialize;
mod key_path;
mod layered;
mod merge;
mod nearest;
mod schema_view;
mod selected_choices;
mod serde_message;
mod serialize;
mod set;
mod source_location;
#[cfg(test)]
mod tests;

pub use choice::Choice;
pub use error::{ConfigError, ConfigErrorKind, RenamedKey, ValidationError};
pub use explain::{ConfigKey, allowed_keys, explain};

pub use layered::{LayeredConfig, from_table, parse, to_toml};
pub use merge::merge;
pub use nearest::closest_match;
pub use selected_choices::{SelectedChoice, selected_choices};
pub use serialize::NoOptions;
pub use set::set;

/// What [`choice!`](crate::choice) expands to; not for use by hand.
#[doc(hidden)]
pub mod private {
    pub use super::deserialize::deserialize_choice;
    pub use super::serialize::{choice_schema, serialize_choice};
    pub use {schemars, serde, serde_json};
}
