//! Generation settings of older models, which are keys of their `config.json`.

use super::{GenerationConfig, unsupported};
use serde_json::{Map, Value, json};

/// Settings that older versions of `transformers` wrote into every `config.json`, with their default values.
const DEFAULTS: &[(&str, f64)] = &[
    ("encoder_no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("max_length", 20.0),
    ("min_length", 0.0),
    ("no_repeat_ngram_size", 0.0),
    ("repetition_penalty", 1.0),
    ("temperature", 1.0),
    ("top_k", 50.0),
    ("top_p", 1.0),
    ("typical_p", 1.0),
];

/// Keys that are read by other functions, in every model.
const TOKEN_KEYS: [&str; 2] = ["eos_token_id", "decoder_start_token_id"];

/// Returns the generation settings of a `config.json` in the form of a `generation_config.json`; `None` if it has none.
///
/// `transformers` reads them if a model has no `generation_config.json`. Default values are left out. Without `do_sample`,
/// tokens are sampled, as with a model without settings.
pub fn settings_of_model_config(config_json: &Value) -> Option<Value> {
    let keys = config_json.as_object()?.iter().filter(|(key, value)| is_setting(key, value));
    let mut settings: Map<String, Value> = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
    if settings.is_empty() {
        return None;
    }
    settings.entry("do_sample").or_insert(json!(true));
    if !config_json["top_k"].is_u64() {
        settings.entry("top_k").or_insert(json!(0));
    }
    Some(settings.into())
}

/// Whether a key is a generation setting with another value than its default.
fn is_setting(key: &str, value: &Value) -> bool {
    if unsupported::is_known(key) {
        return unsupported::description(key, value).is_some();
    }
    let default = DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, default)| *default);
    let is_default = value.is_null() || *value == json!(false) || (default.is_some() && value.as_f64() == default);
    GenerationConfig::NAMES.contains(&key) && !TOKEN_KEYS.contains(&key) && !is_default
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_defaults_and_other_keys() {
        let defaults = json!({
            "model_type": "t5", "vocab_size": 7, "do_sample": false, "max_length": 20, "temperature": 1.0, "top_k": 50,
            "num_beams": 1, "eos_token_id": 1, "decoder_start_token_id": 0, "bad_words_ids": null, "pad_token_id": 0,
        });
        assert_eq!(settings_of_model_config(&defaults), None);
        let config = json!({ "model_type": "t5", "no_repeat_ngram_size": 3, "num_beams": 4, "eos_token_id": 1 });
        let settings = json!({ "no_repeat_ngram_size": 3, "num_beams": 4, "do_sample": true, "top_k": 0 });
        assert_eq!(settings_of_model_config(&config), Some(settings));
        let sampled = json!({ "do_sample": true, "top_k": 50, "top_p": 0.9 });
        assert_eq!(settings_of_model_config(&sampled), Some(json!({ "do_sample": true, "top_p": 0.9 })));
    }
}
