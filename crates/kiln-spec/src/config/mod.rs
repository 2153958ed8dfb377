//! Configuration: typed TOML with inheritance, command-line assignments, and errors that name file, line and key.
//!
//! A configuration passes through these steps:
//!
//! 1. [`LayeredConfig::new`] parses a TOML file to a table.
//! 2. [`LayeredConfig::with_parent`] merges it over the file that it extends ([`merge()`]).
//! 3. [`LayeredConfig::set`] applies assignments from the command line, such as `model.blocks.*.repeat=2` ([`set()`]).
//! 4. [`LayeredConfig::deserialize`] converts the table to a Rust type. Unknown keys are errors.
//! 5. The parts of the program check values that depend on each other and return [`ValidationError`]s;
//!    [`LayeredConfig::with_location`] adds file and line.
//!
//! Alternatives, such as the kinds of norm, are [`choice!`](crate::choice) enums: written as a bare word (`norm = "rms"`) or
//! as a table with one key (`norm = { rms = { eps = 1e-5 } }`). Merging and assignments follow the JSON schema of the type,
//! which also documents every key ([`explain()`]) and tells which choices a configuration has made ([`selected_choices()`]).
//!
//! ```
//! use kiln_spec::config::{LayeredConfig, parse};
//! use schemars::{JsonSchema, schema_for};
//! use serde::Deserialize;
//!
//! #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Model {
//!     hidden: u32,
//!     layers: u32,
//! }
//!
//! let schema = schema_for!(Model);
//! let parent = LayeredConfig::new("hidden = 64\nlayers = 4", Some("base.toml"))?;
//! let mut config = LayeredConfig::new("layers = 8", Some("deep.toml"))?.with_parent(&schema, parent);
//! config.set(&schema, "hidden=128")?;
//! assert_eq!(config.deserialize::<Model>()?, Model { hidden: 128, layers: 8 });
//!
//! let error = parse::<Model>("hidden = 64\nlayer = 4", Some("model.toml")).unwrap_err();
//! assert_eq!(error.to_string(), "model.toml:2: layer: unknown key `layer`");
//! assert_eq!(error.help().unwrap(), "did you mean `layers`? valid keys: hidden, layers");
//! # Ok::<(), kiln_spec::config::ConfigError>(())
//! ```
mod aliases;
mod allowed_values;
mod choice;
mod deserialize;
mod error;
mod explain;
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
mod synonyms;
#[cfg(test)]
mod tests;

pub use choice::Choice;
pub use error::{ConfigError, ConfigErrorKind, RenamedKey, ValidationError};
pub use explain::{ConfigKey, allowed_keys, explain};
pub use layered::{LayeredConfig, from_table, parse, to_toml};
pub use merge::merge;
pub use nearest::{closest_match, synonyms_of};
pub use selected_choices::{SelectedChoice, selected_choices};
pub use serialize::NoOptions;
pub use set::set;

/// Functions that the expansion of [`choice!`](crate::choice) calls. Not a public interface.
#[doc(hidden)]
pub mod private {
    pub use super::deserialize::deserialize_choice;
    pub use super::serialize::{choice_schema, serialize_choice};
    pub use {schemars, serde, serde_json};
}
