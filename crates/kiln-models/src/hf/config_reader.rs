//! Reader of `config.json` that keeps account of the keys that nobody has read.
//!
//! A `config.json` has an option for everything that a family ever did, and whatever other programs added. An option that
//! Kiln does not know could change the computation, so that loading fails instead of giving slightly different numbers:
//! [`ConfigReader`] records which keys were read, and [`ConfigReader::finish`] refuses those of the rest that the
//! reference's class reads. Keys that the class does not read become a [`ConfigWarning`].

mod unread_keys;

pub use unread_keys::is_ignored_key;

use super::{
    Family,
    config_warning::{ConfigWarning, IgnoredKey},
    reference_keys::ReferenceKeys,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet};
use unread_keys::UnreadKeys;

/// Keys of a `config.json`, with a record of those that were read.
///
/// The typed methods return `Err` for a value of the wrong type or range, with the key as path; for an absent key (or
/// `null`) they return `None` or the default of the reference class.
///
/// ```
/// use kiln_models::hf::ConfigReader;
///
/// let json = serde_json::json!({ "hidden_size": 64, "alibi": true });
/// let fields = ConfigReader::new("toy", &json)?;
/// assert_eq!(fields.size("hidden_size", 768)?, 64);
/// assert_eq!(fields.size("num_layers", 12)?, 12);
/// assert_eq!(fields.finish().unwrap_err().path, "alibi");
/// # Ok::<(), kiln_spec::ValidationError>(())
/// ```
pub struct ConfigReader<'a> {
    family: &'static str,
    keys: &'a Map<String, Value>,
    /// Keys that were asked for or declared as ignored, whether or not they are in the file.
    known_keys: RefCell<BTreeSet<String>>,
    unread: UnreadKeys,
    ignored_keys: RefCell<Vec<IgnoredKey>>,
    ignored_values: RefCell<Vec<ConfigWarning>>,
}

impl<'a> ConfigReader<'a> {
    /// A reader of a JSON object that refuses all keys that were not read. `family` is for errors.
    ///
    /// # Errors
    /// If `json` is not an object.
    pub fn new(family: &'static str, json: &'a Value) -> Result<Self, ValidationError> {
        Self::with_unread_keys(family, json, UnreadKeys::Refused)
    }

    /// A reader of the `config.json` of a family: of the keys that were not read, it refuses those that the reference's
    /// class reads.
    ///
    /// # Errors
    /// If `json` is not an object.
    pub fn for_family(family: &Family, json: &'a Value) -> Result<Self, ValidationError> {
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or(family.name);
        let keys = ReferenceKeys::of(model_type).or_else(|| ReferenceKeys::of(family.name));
        Self::with_unread_keys(family.name, json, keys.map_or(UnreadKeys::Refused, UnreadKeys::RefusedIfUsed))
    }

    /// A reader of a table within the `config.json`, all of whose keys the caller knows: other keys have no effect in the
    /// reference either.
    ///
    /// # Errors
    /// If `json` is not an object.
    pub(super) fn for_table<'t>(&self, json: &'t Value) -> Result<ConfigReader<'t>, ValidationError> {
        ConfigReader::with_unread_keys(self.family, json, UnreadKeys::Ignored)
    }

    fn with_unread_keys(family: &'static str, json: &'a Value, unread: UnreadKeys) -> Result<Self, ValidationError> {
        let Some(keys) = json.as_object() else {
            return Err(ValidationError::new("", "expected an object: { \"model_type\": … }"));
        };
        Ok(Self {
            family,
            keys,
            unread,
            known_keys: RefCell::default(),
            ignored_keys: RefCell::default(),
            ignored_values: RefCell::default(),
        })
    }

    /// The name of the family, for errors.
    pub(super) fn family(&self) -> &'static str {
        self.family
    }

    /// Whether `model_type` is an alias of the family.
    pub(super) fn has_alias(&self) -> bool {
        self.get("model_type").is_some_and(|name| name != self.family)
    }

    /// The name under which the file has a key: the key itself, or another name that the reference has for it and prefers.
    fn name_in_file<'k>(&self, key: &'k str) -> &'k str {
        let UnreadKeys::RefusedIfUsed(reference) = self.unread else { return key };
        reference.alias(key).filter(|alias| self.keys.contains_key(*alias)).unwrap_or(key)
    }

    /// The value of a key; `None` if it is absent or `null`.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let name = self.name_in_file(key);
        self.known_keys.borrow_mut().extend([key.into(), name.into()]);
        self.keys.get(name).filter(|value| !value.is_null())
    }

    /// The first key whose value is an object.
    pub(super) fn find_table(&self) -> Option<&'a str> {
        self.keys.iter().find(|(_, value)| value.is_object()).map(|(key, _)| key.as_str())
    }

    /// Whether a key is present and `null`. Some reference classes have a default for an absent key and another meaning for
    /// `null`.
    pub fn is_null(&self, key: &str) -> bool {
        self.keys.get(self.name_in_file(key)).is_some_and(Value::is_null)
    }

    /// The value of a key converted by `convert`; `expected` names the type in the error.
    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ValidationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(ValidationError::new(self.name_in_file(key), format!("expected {expected}, found {value}"))),
        }
    }

    /// A whole number ≥ 0, if present.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.read(key, "a whole number ≥ 0", |value| value.as_u64().and_then(|number| number.try_into().ok()))
    }

    /// A size: a whole number from 1 to 2²⁸.
    pub fn size(&self, key: &str, default: usize) -> Result<usize, ValidationError> {
        match self.integer(key)?.unwrap_or(default) {
            size if (1..=1 << 28).contains(&size) => Ok(size),
            other => Err(ValidationError::new(key, format!("expected a size from 1 to {}, found {other}", 1 << 28))),
        }
    }

    /// A number of layers: a whole number from 1 to 4096.
    pub fn layer_count(&self, key: &str, default: usize) -> Result<usize, ValidationError> {
        match self.size(key, default)? {
            layers if layers <= 4096 => Ok(layers),
            other => Err(ValidationError::new(key, format!("expected at most 4096 layers, found {other}"))),
        }
    }

    /// A number, if present.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ValidationError> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A list of numbers.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f64>>, ValidationError> {
        self.read(key, "a list of numbers", |value| value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A boolean.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ValidationError> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A string.
    pub fn string(&self, key: &str, default: &'a str) -> Result<&'a str, ValidationError> {
        Ok(self.read(key, "a string", Value::as_str)?.unwrap_or(default))
    }

    /// The dropout probability: that of the first of `keys`. Kiln has one for the whole model, and another value of the other
    /// keys is a warning: dropout acts in training only.
    pub fn dropout(&self, keys: &[&str], default: f64) -> Result<f64, ValidationError> {
        let mut rates = Vec::new();
        for key in keys {
            rates.push((*key, self.float(key)?.unwrap_or(default)));
        }
        let Some((first, rate)) = rates.first().copied() else { return Ok(default) };
        for (key, other) in rates.into_iter().filter(|(_, other)| *other != rate) {
            self.warn(key, format!("{other} differs from `{first}`: Kiln trains with one dropout probability, {rate}"));
        }
        Ok(rate)
    }

    /// Reads a dropout probability that Kiln does not have. A value above 0 is a warning: dropout acts in training only.
    pub fn ignore_dropout(&self, key: &str) -> Result<(), ValidationError> {
        if let Some(rate) = self.float(key)?.filter(|rate| *rate != 0.0) {
            self.warn(key, format!("{rate} acts in training only, and Kiln trains `{}` without it", self.family));
        }
        Ok(())
    }

    /// Checks that an option is absent or has the only value that Kiln implements. 0 and 0.0 are equal.
    ///
    /// # Errors
    /// If it has another value.
    pub fn require(&self, key: &str, value: impl Into<Value>) -> Result<(), ValidationError> {
        let value = value.into();
        match self.get(key) {
            Some(other) if *other != value && (other.as_f64().is_none() || other.as_f64() != value.as_f64()) => {
                let reason = format!("only {value} is supported for `{}`, found {other}", self.family);
                Err(ValidationError::new(key, reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unread_key_is_refused_by_name() {
        let json = json!({ "heads": 4, "heds": 3, "use_cache": true, "_name": "x", "extra": false });
        let fields = ConfigReader::new("toy", &json).unwrap();
        assert_eq!(fields.size("heads", 1).unwrap(), 4);
        let error = fields.finish().unwrap_err();
        assert_eq!(error.path, "heds");
        assert!(error.suggestion.unwrap().contains("did you mean `heads`?"));
    }

    #[test]
    fn values_of_the_wrong_type_or_range_are_refused_by_name() {
        let json = json!({ "tensor_parallel": 2, "act": 3, "layers": -1, "wide": 1u64 << 40, "a": 0.1, "b": 0.2 });
        let fields = ConfigReader::new("toy", &json).unwrap();
        assert!(
            fields
                .require("tensor_parallel", 1)
                .unwrap_err()
                .to_string()
                .contains("only 1 is supported for `toy`, found 2")
        );
        assert!(fields.require("absent", 1).is_ok() && fields.require("tensor_parallel", 2.0).is_ok());
        assert_eq!(fields.string("act", "silu").unwrap_err().path, "act");
        assert_eq!(fields.integer("layers").unwrap_err().path, "layers");
        assert_eq!(fields.size("wide", 1).unwrap_err().path, "wide");
        assert_eq!(fields.dropout(&["a", "c"], 0.1).unwrap(), 0.1);
        assert!(fields.into_warnings().is_empty());
    }

    #[test]
    fn dropout_that_kiln_does_not_have_is_a_warning() {
        let json = json!({ "a": 0.1, "b": 0.2, "c": 0.3, "d": 0 });
        let fields = ConfigReader::new("toy", &json).unwrap();
        assert_eq!(fields.dropout(&["a", "b"], 0.0).unwrap(), 0.1);
        assert!(fields.ignore_dropout("c").is_ok() && fields.ignore_dropout("d").is_ok());
        let warnings: Vec<String> = fields.into_warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "b: 0.2 differs from `a`: Kiln trains with one dropout probability, 0.1",
                "c: 0.3 acts in training only, and Kiln trains `toy` without it"
            ]
        );
    }
}
