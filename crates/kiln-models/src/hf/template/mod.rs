//! Template of a model family: the configuration of its models, with named holes.
//!
//! A template is JSON, the form of a [`ModelConfig`], in which some values are holes:
//!
//! | value | meaning |
//! |---|---|
//! | `"$name"` | the value of the hole `name`; `null` leaves the key out |
//! | `"$name[]"` | within a block: the value of the hole for that layer, an element of a list |
//! | `{ "$case": "$name", "a": …, "b": … }` | the alternative that the hole names, `$name[]` for one of each layer |
//! | `{ "$each": "$name", "block": … }` | as the value of `blocks`: as many layers as the hole says |
//!
//! A template is read in two directions. [`fill`](Template::fill) replaces the holes by values. [`match_model`](Template::match_model)
//! finds the values of the holes in a model. It compares the structure only: constants of the template are compared when
//! the model that follows from the values is compared with the original.

mod fill;
mod holes;
mod match_model;
#[cfg(test)]
mod tests;

pub(super) use holes::Holes;
pub(super) use match_model::TemplateMismatch;

use crate::config::ModelConfig;
use fill::fill_value;
use kiln_spec::ValidationError;
use match_model::Matcher;
use serde_json::Value;

/// Key of an alternative that a hole selects.
const CASE_KEY: &str = "$case";
/// Key of a list with an element for each layer.
const EACH_KEY: &str = "$each";

/// Template of a family's configuration.
#[derive(Clone, Debug)]
pub(super) struct Template(Value);

/// Name of a hole, and whether it has a value for each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HoleName<'a> {
    name: &'a str,
    by_layer: bool,
}

impl<'a> HoleName<'a> {
    /// The hole that a value of the template is; `None` for a constant.
    fn of(value: &'a Value) -> Option<Self> {
        let name = value.as_str()?.strip_prefix('$')?;
        Some(match name.strip_suffix("[]") {
            Some(name) => Self { name, by_layer: true },
            None => Self { name, by_layer: false },
        })
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Panics
    /// If the text is not JSON: templates are constants of this crate, which tests parse.
    pub fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|error| panic!("a template of a family: {error}\n{text}")))
    }

    /// The model with these values of the holes. Runs of equal layers become one repeated block.
    ///
    /// # Errors
    /// If a value does not fit its place.
    pub fn fill(&self, holes: &Holes) -> Result<ModelConfig, ValidationError> {
        let filled = fill_value(&self.0, holes, None)?.unwrap_or_default();
        let config = serde_path_to_error::deserialize::<_, ModelConfig>(&filled);
        config.map_err(|error| ValidationError::new(format!("model.{}", error.path()), error.inner().to_string()))
    }

    /// The values of the holes in a model as JSON, resolved, with one block for each layer.
    ///
    /// # Errors
    /// All places in which the model has another structure.
    pub fn match_model(&self, model: &Value) -> Result<Holes, Vec<TemplateMismatch>> {
        let mut matcher = Matcher::default();
        matcher.match_value("model", &self.0, model, None);
        matcher.finish()
    }
}
