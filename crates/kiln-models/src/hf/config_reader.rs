//! Reader of `config.json` that reports keys nobody has read.
//!
//! A `config.json` has an option for everything that a family ever did. An option that Kiln does not know could change the
//! computation, so that loading fails instead of giving slightly different numbers: [`ConfigReader`] records which keys
//! were read, and [`ConfigReader::finish`] refuses the rest.

use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet};

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
}

/// Keys of any family that do not affect the computation: provenance, token ids and generation, initialization, settings
/// of other programs.
const IGNORED_KEYS: &str = "add_bos_token add_eos_token architectures auto_map bad_words_ids begin_suppress_tokens bos_token_id \
     cache_implementation chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample dtype \
     early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task \
     forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_factor initializer_range \
     is_llama_config keys_to_ignore_at_inference label2id length_penalty mask_token_id max_length min_length \
     model_type name_or_path no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences \
     output_attentions output_hidden_states output_past output_scores pad_token_id prefix problem_type \
     remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens \
     task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript \
     transformers.js_config transformers_version typical_p unk_token_id use_bfloat16 use_cache";

/// Whether a key does not affect the computation, in any family. Such keys need not be read.
pub fn is_ignored_key(key: &str) -> bool {
    key.starts_with('_') || IGNORED_KEYS.split_whitespace().any(|known| known == key)
}

impl<'a> ConfigReader<'a> {
    /// A reader of a JSON object. `family` is for errors.
    ///
    /// # Errors
    /// If `json` is not an object.
    pub fn new(family: &'static str, json: &'a Value) -> Result<Self, ValidationError> {
        match json.as_object() {
            Some(keys) => Ok(Self { family, keys, known_keys: RefCell::default() }),
            None => Err(ValidationError::new("", "expected an object: { \"model_type\": … }")),
        }
    }

    /// The value of a key; `None` if it is absent or `null`.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.known_keys.borrow_mut().insert(key.into());
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is present and `null`. Some reference classes have a default for an absent key and another meaning for
    /// `null`.
    pub fn is_null(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(Value::is_null)
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
            None => Err(ValidationError::new(key, format!("expected {expected}, found {value}"))),
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

    /// A boolean.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ValidationError> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A string.
    pub fn string(&self, key: &str, default: &'a str) -> Result<&'a str, ValidationError> {
        Ok(self.read(key, "a string", Value::as_str)?.unwrap_or(default))
    }

    /// The dropout probability, which all of `keys` must agree on: Kiln has one for the whole model.
    ///
    /// # Errors
    /// If two keys differ.
    pub fn dropout(&self, keys: &[&str], default: f64) -> Result<f64, ValidationError> {
        let mut rates = Vec::new();
        for key in keys {
            rates.push((key, self.float(key)?.unwrap_or(default)));
        }
        match rates.iter().find(|(_, rate)| *rate != rates[0].1) {
            None => Ok(rates.first().map_or(default, |(_, rate)| *rate)),
            Some((key, rate)) => {
                let reason = format!(
                    "Kiln has one dropout probability for the whole model, but `{}` is {} and this one {rate}",
                    keys[0], rates[0].1
                );
                let suggestion = "set both to the same value; dropout acts in training only";
                Err(ValidationError::new(**key, reason).with_suggestion(suggestion))
            }
        }
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

    /// Declares keys of this family that do not affect the computation.
    pub fn ignore(&self, keys: &[&str]) {
        self.known_keys.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Checks that every key was read, is ignored in every family, or is switched off. Call it last.
    ///
    /// # Errors
    /// The first other key.
    pub fn finish(&self) -> Result<(), ValidationError> {
        let known = self.known_keys.borrow();
        let mut unread = self.keys.iter().filter(|(key, _)| !is_ignored_key(key) && !known.contains(*key));
        let Some((key, value)) = unread.find(|(_, value)| !is_switched_off(value)) else { return Ok(()) };
        let meant = closest_match(key, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`? "));
        let reason = format!("unsupported key of `{}`, found {value}", self.family);
        let suggestion =
            format!("{}remove it from config.json if the model does not depend on it", meant.unwrap_or_default());
        Err(ValidationError::new(key, reason).with_suggestion(suggestion))
    }
}

/// Whether a value means that its option is not used: `null`, `false`, an empty list or object.
fn is_switched_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
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
        assert_eq!(fields.dropout(&["a", "b"], 0.0).unwrap_err().path, "b");
        assert_eq!(fields.dropout(&["a", "c"], 0.1).unwrap(), 0.1);
    }
}
