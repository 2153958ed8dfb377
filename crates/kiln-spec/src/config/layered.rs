//! Layered configuration: a TOML file over its parents, with `--set` assignments on top.
//!
//! The sources are kept next to the merged table, so that every error names the file and line, or the assignment, that its
//! key comes from.
use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::key_path::KeyPath;
use super::source_location::{ConfigSource, column_of, line_of, locate};
use super::{ConfigError, ConfigErrorKind, merge, serde_message, set};

/// Merged TOML table with its sources.
#[derive(Clone, Debug, PartialEq)]
pub struct LayeredConfig {
    table: Table,
    /// Sources in order of precedence: the latest assignment first, then the file, then its parents.
    sources: Vec<ConfigSource>,
}

impl LayeredConfig {
    /// Parses a TOML text. `file` is its name in errors.
    ///
    /// # Errors
    /// Invalid TOML, with line and column. Keys and types are checked by [`deserialize`](Self::deserialize).
    pub fn new(text: &str, file: Option<&str>) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| syntax_error(&error, text, file))?;
        Ok(Self { table, sources: vec![ConfigSource::from_text(text, file)] })
    }

    /// Merges this configuration over `parent`, see [`merge()`]. `schema` is that of the root type.
    pub fn with_parent(self, schema: &Schema, parent: LayeredConfig) -> Self {
        let sources = self.sources.into_iter().chain(parent.sources).collect();
        Self { table: merge(schema, parent.table, self.table), sources }
    }

    /// Applies an assignment `path=value`, see [`set()`].
    ///
    /// # Errors
    /// As [`set()`]. The configuration is then unchanged.
    pub fn set(&mut self, schema: &Schema, assignment: &str) -> Result<(), ConfigError> {
        set(schema, &mut self.table, assignment)?;
        self.sources.insert(0, ConfigSource::from_assignment(assignment));
        Ok(())
    }

    /// Removes a key of the root table and returns its value. For keys that control loading, such as `extends`.
    pub fn take(&mut self, key: &str) -> Option<toml::Value> {
        self.table.remove(key)
    }

    /// Returns the merged table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Converts the table to a Rust type.
    ///
    /// # Errors
    /// Unknown or missing keys and values of a wrong type, with their location.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        from_table(self.table.clone()).map_err(|error| self.with_location(error))
    }

    /// Adds file and line to an error whose path is a key of this configuration. An error with a location is unchanged.
    pub fn with_location(&self, error: impl Into<ConfigError>) -> ConfigError {
        let mut error = error.into();
        if error.file.is_none() && error.line.is_none() {
            (error.file, error.line) = locate(&self.sources, &path_with_choice(&error));
        }
        error
    }
}

/// Parses a TOML text as a Rust type. `file` is its name in errors.
///
/// # Errors
/// Invalid TOML, unknown or missing keys and values of a wrong type, with file, line and key.
pub fn parse<T: DeserializeOwned>(text: &str, file: Option<&str>) -> Result<T, ConfigError> {
    LayeredConfig::new(text, file)?.deserialize()
}

/// Converts a table to a Rust type.
///
/// # Errors
/// Unknown or missing keys and values of a wrong type, with the key but without a line.
pub fn from_table<T: DeserializeOwned>(table: Table) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|error| serde_message::parse_serde_message(error.inner().message(), error.path().into()))
}

/// Returns a configuration as TOML text. It can be parsed back to an equal value.
///
/// # Panics
/// If `value` does not serialize to a table, or contains an integer beyond `i64` or a `None` in a list.
pub fn to_toml<T: Serialize>(value: &T) -> String {
    toml::to_string_pretty(value).expect("a configuration serializes to a TOML table")
}

/// Path for the lookup: for an unknown alternative, its name is a key or bare word below the path of the error.
fn path_with_choice(error: &ConfigError) -> KeyPath {
    let path = KeyPath::parse(&error.path);
    match &*error.kind {
        ConfigErrorKind::UnknownChoice { name, .. } => path.join(name),
        _ => path,
    }
}

/// Error of the TOML parser with file, line and column.
fn syntax_error(error: &toml::de::Error, text: &str, file: Option<&str>) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let kind = ConfigErrorKind::Syntax { message: error.message().to_owned(), column: column_of(text, offset) };
    let mut error = ConfigError::new("", kind);
    error.file = file.map(str::to_owned);
    error.line = Some(line_of(text, offset));
    error
}
