//! Reading a `config.json` so that nothing in it is ignored in silence.

use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet};

/// The keys of a family's `config.json`: those that were read, and those that are left.
pub struct ConfigReader<'a> {
    family: &'static str,
    keys: &'a Map<String, Value>,
    known_keys: RefCell<BTreeSet<String>>,
}

/// Keys that say nothing of what the model computes: where it comes from, how text is written with it, how it was
/// first drawn, how other programs run it.
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

/// Whether a key of any family says nothing of what the model computes.
pub fn is_ignored_key(key: &str) -> bool {
    key.starts_with('_') || IGNORED_KEYS.split_whitespace().any(|known| known == key)
}

impl<'a> ConfigReader<'a> {
    /// The fields of a `config.json` of this family.
    ///
    /// # Errors
    /// If it is no object.
    pub fn new(family: &'static str, json: &'a Value) -> Result<Self, ValidationError> {
        match json.as_object() {
            Some(keys) => Ok(Self { family, keys, known_keys: RefCell::default() }),
            None => Err(ValidationError::new("", "a configuration is an object: { \"model_type\": … }")),
        }
    }

    /// What stands under a key; `null` is as nothing.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.known_keys.borrow_mut().insert(key.into());
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key says `null`, which a class may take for something else than silence.
    pub fn is_null(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(Value::is_null)
    }

    fn read<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ValidationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(ValidationError::new(key, format!("{what} was expected, found {value}"))),
        }
    }

    /// A whole number from 0 on, if it is there.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.read(key, "a whole number from 0 on", |value| value.as_u64().and_then(|n| n.try_into().ok()))
    }

    /// A size: a whole number from 1 on, or the reference class's default; up to 2²⁸.
    pub fn size(&self, key: &str, default: usize) -> Result<usize, ValidationError> {
        match self.integer(key)?.unwrap_or(default) {
            size if (1..=1 << 28).contains(&size) => Ok(size),
            other => {
                Err(ValidationError::new(key, format!("a size from 1 to {} was expected, found {other}", 1 << 28)))
            }
        }
    }

    /// A number of layers: a size up to 4096.
    pub fn layer_count(&self, key: &str, default: usize) -> Result<usize, ValidationError> {
        match self.size(key, default)? {
            layers if layers <= 4096 => Ok(layers),
            other => Err(ValidationError::new(key, format!("at most 4096 layers, found {other}"))),
        }
    }

    /// A number, if it is there.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ValidationError> {
        self.read(key, "a number", Value::as_f64)
    }

    /// Yes or no, or the reference class's default.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ValidationError> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A word, or the reference class's default.
    pub fn string(&self, key: &str, default: &'a str) -> Result<&'a str, ValidationError> {
        Ok(self.read(key, "a word", Value::as_str)?.unwrap_or(default))
    }

    /// The rate of dropout, if all these keys agree on it. Kiln has one for a whole model.
    ///
    /// # Errors
    /// If they don't.
    pub fn dropout(&self, keys: &[&str], default: f64) -> Result<f64, ValidationError> {
        let mut rates = Vec::new();
        for key in keys {
            rates.push((key, self.float(key)?.unwrap_or(default)));
        }
        match rates.iter().find(|(_, rate)| *rate != rates[0].1) {
            None => Ok(rates.first().map_or(default, |(_, rate)| *rate)),
            Some((key, rate)) => {
                let reason =
                    format!("Kiln has one dropout for all of a model: `{}` is {}, this {rate}", keys[0], rates[0].1);
                Err(ValidationError::new(**key, reason)
                    .with_suggestion("the same rate under both; outside training it changes nothing"))
            }
        }
    }

    /// A key that may be there with this value alone: the only one that Kiln implements.
    ///
    /// # Errors
    /// If it is another.
    pub fn require(&self, key: &str, value: impl Into<Value>) -> Result<(), ValidationError> {
        let value = value.into();
        match self.get(key) {
            // 0 and 0.0 are the same number.
            Some(other) if *other != value && (other.as_f64().is_none() || other.as_f64() != value.as_f64()) => {
                let reason =
                    format!("Kiln implements this option of `{}` with {value} alone, found {other}", self.family);
                Err(ValidationError::new(key, reason))
            }
            _ => Ok(()),
        }
    }

    /// Keys of this family that say nothing of what the model computes.
    pub fn ignore(&self, keys: &[&str]) {
        self.known_keys.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Refuses what nobody has read, unless it is switched off.
    ///
    /// # Errors
    /// The first such key.
    pub fn finish(&self) -> Result<(), ValidationError> {
        let known = self.known_keys.borrow();
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let read = |key: &str| is_ignored_key(key) || known.contains(key);
        let Some((key, value)) = self.keys.iter().find(|(key, value)| !read(key) && !off(value)) else {
            return Ok(());
        };
        let meant = closest_match(key, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
        let reason = format!("no option of `{}` that Kiln implements, found {value}", self.family);
        let instead = format!("{}take it out of config.json if it changes nothing", meant.unwrap_or_default());
        Err(ValidationError::new(key, reason).with_suggestion(instead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_reads_is_refused_by_name() {
        let json = json!({ "heads": 4, "heds": 3, "use_cache": true, "_name": "x", "extra": false });
        let fields = ConfigReader::new("toy", &json).unwrap();
        assert_eq!(fields.size("heads", 1).unwrap(), 4);
        let refusal = fields.finish().unwrap_err();
        assert_eq!(refusal.path, "heds");
        assert!(refusal.suggestion.unwrap().contains("did you mean `heads`?"));
    }

    #[test]
    fn an_option_with_one_value_refuses_another() {
        let json = json!({ "tensor_parallel": 2, "act": 3, "layers": -1, "wide": 1u64 << 40, "a": 0.1, "b": 0.2 });
        let fields = ConfigReader::new("toy", &json).unwrap();
        assert!(fields.require("tensor_parallel", 1).unwrap_err().to_string().contains("with 1 alone, found 2"));
        assert!(fields.require("absent", 1).is_ok() && fields.require("tensor_parallel", 2.0).is_ok());
        assert_eq!(fields.string("act", "silu").unwrap_err().path, "act");
        assert_eq!(fields.integer("layers").unwrap_err().path, "layers");
        assert_eq!(fields.size("wide", 1).unwrap_err().path, "wide");
        assert_eq!(fields.dropout(&["a", "b"], 0.0).unwrap_err().path, "b");
        assert_eq!(fields.dropout(&["a", "c"], 0.1).unwrap(), 0.1);
    }
}
