//! `config_sentence_transformers.json` (prompts, similarity) and `sentence_bert_config.json` (length, case).

use kiln_spec::{ValidationError, config::closest_match};
use serde_json::Value;
#[cfg(feature = "files")]
use serde_json::json;
use std::collections::BTreeMap;

/// Texts that are put before a text, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    by_name: BTreeMap<String, String>,
    /// The name of the prompt that is used if none is asked for.
    default_name: Option<String>,
}

impl Prompts {
    /// Reads `prompts` and `default_prompt_name` from the contents of `config_sentence_transformers.json`.
    ///
    /// # Errors
    /// If a value has the wrong type, or the default name is not a prompt's.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let mut by_name = BTreeMap::new();
        match config.get("prompts").filter(|value| !value.is_null()) {
            None => {}
            Some(Value::Object(prompts)) => {
                for (name, text) in prompts {
                    let text = match text {
                        Value::Null => "",
                        Value::String(text) => text,
                        other => {
                            let reason = format!("expected a text, found {other}");
                            return Err(ValidationError::new(format!("prompts.{name}"), reason));
                        }
                    };
                    by_name.insert(name.clone(), text.to_owned());
                }
            }
            Some(other) => {
                return Err(ValidationError::new("prompts", format!("expected an object of texts, found {other}")));
            }
        }
        // Every model of the library has these two.
        for name in ["query", "document"] {
            by_name.entry(name.into()).or_default();
        }
        let default_name = match config.get("default_prompt_name").filter(|value| !value.is_null()) {
            None => None,
            Some(Value::String(name)) if by_name.contains_key(name) => Some(name.clone()),
            Some(other) => {
                let names = by_name.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let reason = format!("expected the name of a prompt ({names}), found {other}");
                return Err(ValidationError::new("default_prompt_name", reason));
            }
        };
        Ok(Self { by_name, default_name })
    }

    /// `prompts` and `default_prompt_name`. The reverse of [`from_json`](Self::from_json).
    #[cfg(feature = "files")]
    pub(super) fn to_json(&self) -> Value {
        json!({ "prompts": self.by_name, "default_prompt_name": self.default_name })
    }

    /// The prompt with a name; without a name the default prompt, or none.
    ///
    /// # Errors
    /// If no prompt has the name. The error lists the names.
    pub fn get(&self, name: Option<&str>) -> Result<&str, ValidationError> {
        let Some(name) = name.or(self.default_name.as_deref()) else { return Ok("") };
        if let Some(text) = self.by_name.get(name) {
            return Ok(text);
        }
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        let list = if names.is_empty() { "none".into() } else { names.join(", ") };
        let error = ValidationError::new("prompts", format!("the model has no prompt `{name}`; its prompts: {list}"));
        Err(match closest_match(name, names) {
            Some(meant) => error.with_suggestion(format!("did you mean `{meant}`?")),
            None => error,
        })
    }

    /// Name and text of the prompt that is used if none is asked for.
    pub fn default_prompt(&self) -> Option<(&str, &str)> {
        let name = self.default_name.as_deref()?;
        Some((name, self.by_name.get(name)?))
    }
}

/// Similarity of two vectors; greater means more similar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Similarity {
    /// Cosine of the angle between them.
    #[default]
    Cosine,
    /// Dot product.
    Dot,
    /// Negative Euclidean distance.
    Euclidean,
    /// Negative Manhattan distance: −Σ |x − y|.
    Manhattan,
}

impl Similarity {
    /// All functions with their names in `similarity_fn_name`.
    pub const ALL: [(&str, Self); 4] =
        [("cosine", Self::Cosine), ("dot", Self::Dot), ("euclidean", Self::Euclidean), ("manhattan", Self::Manhattan)];

    /// Reads `similarity_fn_name` from the contents of `config_sentence_transformers.json`; the cosine if it is absent.
    ///
    /// # Errors
    /// If the name is unknown.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let Some(value) = config.get("similarity_fn_name").filter(|value| !value.is_null()) else {
            return Ok(Self::default());
        };
        let found = Self::ALL.iter().find(|(name, _)| value.as_str() == Some(name));
        found.map(|(_, similarity)| *similarity).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            let reason = format!("unsupported similarity function {value}");
            ValidationError::new("similarity_fn_name", reason).with_suggestion(format!("supported: {names}"))
        })
    }

    /// The name in `similarity_fn_name`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, similarity)| *similarity == self).map_or("", |(name, _)| name)
    }

    /// The similarity of two vectors, summed in f64. The cosine with a zero vector is 0.
    pub fn of(self, a: &[f32], b: &[f32]) -> f64 {
        let sum = |f: fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum::<f64>();
        let squares = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        match self {
            Self::Cosine => sum(|a, b| a * b) / (squares(a) * squares(b)).sqrt().max(f64::MIN_POSITIVE),
            Self::Dot => sum(|a, b| a * b),
            Self::Euclidean => -sum(|a, b| (a - b).powi(2)).sqrt(),
            Self::Manhattan => -sum(|a, b| (a - b).abs()),
        }
    }
}

/// `max_seq_length` and `do_lower_case` of a `sentence_bert_config.json`. Other options that change the vectors are refused.
///
/// # Errors
/// If a value has the wrong type or is not supported.
#[cfg(feature = "files")]
pub(super) fn read_transformer_settings(config: &Value) -> Result<(Option<usize>, bool), ValidationError> {
    let max_length = match config.get("max_seq_length").filter(|value| !value.is_null()) {
        None => None,
        Some(value) => Some(value.as_u64().filter(|length| *length > 0).ok_or_else(|| {
            ValidationError::new("max_seq_length", format!("expected a number of tokens above 0, found {value}"))
        })? as usize),
    };
    let lowercase = match config.get("do_lower_case").filter(|value| !value.is_null()) {
        None => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| ValidationError::new("do_lower_case", format!("expected true or false, found {value}")))?,
    };
    require(config, "transformer_task", "feature-extraction")?;
    require(config, "module_output_name", "token_embeddings")?;
    Ok((max_length, lowercase))
}

/// Refuses another value of an option than the one that Kiln computes; the option may be absent.
///
/// # Errors
/// If it has another value.
#[cfg(feature = "files")]
pub(super) fn require(config: &Value, key: &str, value: &str) -> Result<(), ValidationError> {
    match config.get(key).filter(|found| !found.is_null() && *found != value) {
        None => Ok(()),
        Some(found) => {
            let error = ValidationError::new(key, format!("unsupported value {found}"));
            Err(error.with_suggestion(format!("supported: \"{value}\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(feature = "files"))]
    use serde_json::json;

    #[test]
    fn a_prompt_is_found_by_its_name_or_is_the_default() {
        let config =
            json!({ "prompts": { "query": "query: ", "passage": "passage: " }, "default_prompt_name": "query" });
        let prompts = Prompts::from_json(&config).unwrap();
        assert_eq!(prompts.get(None).unwrap(), "query: ");
        assert_eq!(prompts.get(Some("passage")).unwrap(), "passage: ");
        assert_eq!(prompts.get(Some("document")).unwrap(), "", "every model has it");
        let error = prompts.get(Some("pasage")).unwrap_err();
        assert!(error.reason.contains("document, passage, query") && error.suggestion.unwrap().contains("`passage`"));
        assert_eq!(Prompts::default().get(None).unwrap(), "");
        assert_eq!(Prompts::from_json(&json!({ "prompts": null })).unwrap().default_prompt(), None);
        for (key, config) in [
            ("default_prompt_name", json!({ "default_prompt_name": "x" })),
            ("prompts", json!({ "prompts": ["x"] })),
            ("prompts.query", json!({ "prompts": { "query": 3 } })),
        ] {
            assert_eq!(Prompts::from_json(&config).unwrap_err().path, key);
        }
    }

    #[test]
    fn similarities_have_the_values_of_the_library() {
        let (a, b) = ([3.0, 4.0], [4.0, 3.0]);
        let values = Similarity::ALL.map(|(_, similarity)| similarity.of(&a, &b));
        let expected = [0.96, 24.0, -(2f64.sqrt()), -2.0];
        assert!(values.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12), "{values:?}");
        assert_eq!(Similarity::Cosine.of(&a, &[0.0, 0.0]), 0.0);
        assert_eq!(Similarity::from_json(&json!({ "similarity_fn_name": "dot" })).unwrap(), Similarity::Dot);
        assert_eq!(Similarity::from_json(&json!({})).unwrap().name(), "cosine");
        let error = Similarity::from_json(&json!({ "similarity_fn_name": "maxsim" })).unwrap_err();
        assert_eq!(error.path, "similarity_fn_name");
    }
}
