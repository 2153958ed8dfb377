//! `rank_pattern` and `alpha_pattern`: numbers of single modules, by regular expressions.
//!
//! An expression matches a module's whole name or its end after a dot, `(.*\.)?(KEY)$`; a dot in it is any character. The
//! first expression of the file that matches counts. Reference: `get_pattern_key` in `peft/utils/other.py`.

use super::name_pattern::NamePattern;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// Numbers of modules in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct ModuleValues {
    entries: Vec<PatternValue>,
}

/// A number and the modules that have it.
#[derive(Clone, Debug)]
struct PatternValue {
    /// The expression as it is in the file.
    source: String,
    pattern: NamePattern,
    number: f64,
}

impl ModuleValues {
    /// Parses the value of `rank_pattern` (whole numbers) or `alpha_pattern`.
    ///
    /// # Errors
    /// If it is not an object of positive numbers, or an expression is invalid; the path is `key`.
    pub fn from_json(key: &'static str, value: Option<&Value>) -> Result<Self, ValidationError> {
        let empty = Map::new();
        let object = match value {
            None => &empty,
            Some(Value::Object(object)) => object,
            Some(other) => return Err(ValidationError::new(key, format!("expected an object, found {other}"))),
        };
        let mut entries = Vec::new();
        for (source, value) in object {
            let pattern = NamePattern::new(key, source, &format!(r"(.*\.)?({source})\z"))?;
            entries.push(PatternValue { source: source.clone(), pattern, number: parse_number(key, source, value)? });
        }
        Ok(Self { entries })
    }

    /// The number of a module; `None` if it has the default.
    ///
    /// # Errors
    /// If an expression cannot be matched.
    pub fn value(&self, module: &str) -> Result<Option<f64>, ValidationError> {
        for entry in &self.entries {
            if entry.pattern.is_match(module)? {
                return Ok(Some(entry.number));
            }
        }
        Ok(None)
    }

    /// The expressions that match none of these modules.
    ///
    /// # Errors
    /// If an expression cannot be matched.
    pub fn unmatched(&self, modules: &[&str]) -> Result<Vec<&str>, ValidationError> {
        let mut unmatched = Vec::new();
        for entry in &self.entries {
            let matches = modules.iter().map(|module| entry.pattern.is_match(module));
            if !matches.collect::<Result<Vec<_>, _>>()?.contains(&true) {
                unmatched.push(entry.source.as_str());
            }
        }
        Ok(unmatched)
    }
}

/// A rank: a whole number from 1 to 2²⁸; a value of α: any number.
fn parse_number(key: &str, source: &str, value: &Value) -> Result<f64, ValidationError> {
    let is_rank = key == "rank_pattern";
    let is_valid = |number: &f64| !is_rank || number.fract() == 0.0 && (1.0..=f64::from(1 << 28)).contains(number);
    value.as_f64().filter(is_valid).ok_or_else(|| {
        let expected = if is_rank { "a whole number above 0" } else { "a number" };
        ValidationError::new(key, format!("`{source}`: expected {expected}, found {value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(patterns: &Value, module: &str) -> Option<f64> {
        ModuleValues::from_json("alpha_pattern", Some(patterns)).unwrap().value(module).unwrap()
    }

    /// Every expected value is what peft's `get_pattern_key` gives.
    #[test]
    fn a_pattern_matches_a_name_or_its_end_as_an_expression() {
        let module = "model.layers.0.self_attn.q_proj";
        assert_eq!(value(&json!({ "q_proj": 3 }), module), Some(3.0));
        assert_eq!(value(&json!({ "proj": 3 }), module), None);
        assert_eq!(value(&json!({ "self.attn.q_proj": 3 }), module), Some(3.0), "a dot is any character");
        assert_eq!(value(&json!({ r"self\.attn.q_proj": 3 }), module), None);
        assert_eq!(value(&json!({ r".*\.layers\.0\..*(q_proj|v_proj)$": 3 }), module), Some(3.0));
        assert_eq!(value(&json!({ "k_proj|q_proj": 3 }), module), Some(3.0));
        assert_eq!(value(&json!({ "^model.layers.0.self_attn.q_proj": 3 }), module), Some(3.0));
        assert_eq!(value(&json!({ "^layers.0.self_attn.q_proj": 3 }), module), None);
        assert_eq!(value(&json!({ "(q)_proj": 1, r"\1": 2 }), module), Some(1.0));
    }

    #[test]
    fn the_first_pattern_of_the_file_counts() {
        let module = "layers.0.q_proj";
        let text = r#"{"q_proj": 2, "layers.0.q_proj": 3}"#;
        assert_eq!(value(&serde_json::from_str(text).unwrap(), module), Some(2.0));
        let text = r#"{"layers.0.q_proj": 3, "q_proj": 2}"#;
        assert_eq!(value(&serde_json::from_str(text).unwrap(), module), Some(3.0));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_listed() {
        let values = ModuleValues::from_json("alpha_pattern", Some(&json!({ "q_proj": 1, "c_attn": 2 }))).unwrap();
        assert_eq!(values.unmatched(&["layers.0.q_proj"]).unwrap(), ["c_attn"]);
    }

    #[test]
    fn other_values_are_refused_by_their_key() {
        for (key, value) in [
            ("rank_pattern", json!([])),
            ("rank_pattern", json!({ "q": 2.5 })),
            ("rank_pattern", json!({ "q": 1e12 })),
            ("rank_pattern", json!({ "q": "2" })),
            ("alpha_pattern", json!({ "q": true })),
            ("alpha_pattern", json!({ "(q": 1 })),
        ] {
            assert_eq!(ModuleValues::from_json(key, Some(&value)).unwrap_err().path, key);
        }
    }
}
