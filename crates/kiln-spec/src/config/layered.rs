//! From text to a typed value. Every error has a path, and the file and line where that path stands.
use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::key_path::KeyPath;
use super::source_location::{ConfigSource, column_of, line_of, locate};
use super::{ConfigError, ConfigErrorKind, merge, serde_message, set};

/// A table together with the texts and `--set` assignments that it was merged from.
#[derive(Clone, Debug, PartialEq)]
pub struct LayeredConfig {
    table: Table,
    sources: Vec<ConfigSource>,
}

impl LayeredConfig {
    /// One TOML text; `file` is what errors call it. Fails only on syntax.
    pub fn new(text: &str, file: Option<&str>) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| syntax_error(&error, text, file))?;
        Ok(Self { table, sources: vec![ConfigSource::from_text(text, file)] })
    }

    /// This over `parent`, from which it takes what it does not say itself: see [`merge`].
    pub fn with_parent(self, schema: &Schema, parent: LayeredConfig) -> Self {
        let sources = self.sources.into_iter().chain(parent.sources).collect();
        Self { table: merge(schema, parent.table, self.table), sources }
    }

    /// Carries out `a.0.b=value`: see [`set`](set()).
    pub fn set(&mut self, schema: &Schema, assignment: &str) -> Result<(), ConfigError> {
        set(schema, &mut self.table, assignment)?;
        self.sources.insert(0, ConfigSource::from_assignment(assignment));
        Ok(())
    }

    /// Takes a key out of the root, for keys that say how to load and not what (`extends`).
    pub fn take(&mut self, key: &str) -> Option<toml::Value> {
        self.table.remove(key)
    }

    /// The merged table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The typed value.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        from_table(self.table.clone()).map_err(|error| self.with_location(error))
    }

    /// Adds file and line to an error or a refusal whose path is in this configuration.
    pub fn with_location(&self, error: impl Into<ConfigError>) -> ConfigError {
        let mut error = error.into();
        if error.file.is_none() && error.line.is_none() {
            (error.file, error.line) = locate(&self.sources, &path_with_choice(&error));
        }
        error
    }
}

/// Reads a TOML text; `file` is what errors call it.
pub fn parse<T: DeserializeOwned>(text: &str, file: Option<&str>) -> Result<T, ConfigError> {
    LayeredConfig::new(text, file)?.deserialize()
}

/// Reads a table; errors have a path but no line.
pub fn from_table<T: DeserializeOwned>(table: Table) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|error| serde_message::parse_serde_message(error.inner().message(), error.path().into()))
}

/// Writes a configuration as TOML, tables under headers.
///
/// # Panics
/// If `value` is no table, or holds what TOML cannot say: an integer beyond `i64`, or an absent item in a list.
pub fn to_toml<T: Serialize>(value: &T) -> String {
    toml::to_string_pretty(value).expect("a configuration is a table of what TOML can say")
}

/// The path with the name that is no choice, which is a key or a bare word one step further in.
fn path_with_choice(error: &ConfigError) -> KeyPath {
    let path = KeyPath::parse(&error.path);
    match &*error.kind {
        ConfigErrorKind::UnknownChoice { name, .. } => path.join(name),
        _ => path,
    }
}

fn syntax_error(error: &toml::de::Error, text: &str, file: Option<&str>) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let fault = ConfigErrorKind::Syntax { message: error.message().to_owned(), column: column_of(text, at) };
    let mut error = ConfigError::new("", fault);
    error.file = file.map(str::to_owned);
    error.line = Some(line_of(text, at));
    error
}
