//! Generation settings as GGUF metadata, which llama.cpp takes as its defaults.
//!
//! | `generation_config.json` | metadata, `general.sampling.…` |
//! |---|---|
//! | `do_sample` absent or false (greedy) | `temp` = 0 |
//! | `temperature`, `top_k`, `top_p`, `min_p` (defaults 1, 50, 1, 0, as in `transformers`) | `temp`, `top_k`, `top_p`, `min_p` |
//! | `repetition_penalty` | `penalty_repeat` |
//! | `penalty_window` (Kiln's; default: the whole text) | `penalty_last_n` (−1: the whole text) |
//!
//! Token ids are part of the tokenizer's metadata.

use super::{Metadata, Value};
use serde_json::Value as Json;

/// Keys of a `generation_config.json` with a counterpart in GGUF, here or among the tokenizer's metadata.
const STORED_KEYS: [&str; 11] = [
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "penalty_window",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
];
/// Keys that do not change the text: versions, and settings of `transformers`' own caches.
const NEUTRAL_KEYS: [&str; 4] = ["transformers_version", "use_cache", "cache_implementation", "return_legacy_cache"];
/// Keys whose value 1 switches their option off.
const NEUTRAL_AT_ONE: [&str; 6] = [
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "typical_p",
    "length_penalty",
    "encoder_repetition_penalty",
];

/// Returns the metadata of a `generation_config.json`, and the keys that GGUF has no place for.
pub fn generation_metadata(config: &Json) -> (Metadata, Vec<String>) {
    let mut metadata = Metadata::default();
    let Some(settings) = config.as_object() else { return (metadata, Vec::new()) };
    let mut set = |name: &str, value: Value| metadata.set(format!("general.sampling.{name}"), value);
    let number = |key: &str| settings.get(key).and_then(Json::as_f64);
    if settings.get("do_sample") == Some(&Json::Bool(true)) {
        set("temp", Value::F32(number("temperature").unwrap_or(1.0) as f32));
        set("top_k", Value::I32(number("top_k").unwrap_or(50.0) as i32));
        set("top_p", Value::F32(number("top_p").unwrap_or(1.0) as f32));
        set("min_p", Value::F32(number("min_p").unwrap_or(0.0) as f32));
    } else {
        set("temp", Value::F32(0.0));
    }
    if let Some(penalty) = number("repetition_penalty").filter(|penalty| *penalty != 1.0) {
        set("penalty_repeat", Value::F32(penalty as f32));
        set("penalty_last_n", Value::I32(number("penalty_window").map_or(-1, |window| window as i32)));
    }
    let mut lost: Vec<String> =
        settings.iter().filter(|(key, value)| !is_stored(key, value)).map(|(key, _)| key.clone()).collect();
    lost.sort();
    (metadata, lost)
}

/// Whether a key is stored, or has no effect.
fn is_stored(key: &str, value: &Json) -> bool {
    let is_off = match value {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => {
            number.as_f64() == Some(0.0) || NEUTRAL_AT_ONE.contains(&key) && number.as_f64() == Some(1.0)
        }
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(items) => items.is_empty(),
        Json::Bool(true) => false,
    };
    is_off || STORED_KEYS.contains(&key) || NEUTRAL_KEYS.contains(&key) || key.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored(config: Json) -> Vec<(String, Value)> {
        let (metadata, lost) = generation_metadata(&config);
        assert!(lost.is_empty(), "{lost:?}");
        metadata.0.into_iter().map(|(key, value)| (key.replace("general.sampling.", ""), value)).collect()
    }

    fn pair(key: &str, value: Value) -> (String, Value) {
        (key.into(), value)
    }

    #[test]
    fn settings_without_sampling_are_greedy() {
        let greedy = [pair("temp", Value::F32(0.0))];
        assert_eq!(stored(json!({ "eos_token_id": [0, 2], "temperature": 0.7 })), greedy);
        assert_eq!(stored(json!({ "do_sample": false, "transformers_version": "5", "num_beams": 1 })), greedy);
        assert!(stored(Json::Null).is_empty());
    }

    #[test]
    fn sampling_has_the_defaults_of_transformers() {
        let found = stored(json!({ "do_sample": true, "temperature": 0.6, "repetition_penalty": 1.05 }));
        let expected = [
            pair("min_p", Value::F32(0.0)),
            pair("penalty_last_n", Value::I32(-1)),
            pair("penalty_repeat", Value::F32(1.05)),
            pair("temp", Value::F32(0.6)),
            pair("top_k", Value::I32(50)),
            pair("top_p", Value::F32(1.0)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn settings_without_a_place_are_named() {
        let config = json!({ "no_repeat_ngram_size": 3, "max_new_tokens": 9, "bad_words_ids": [], "num_beams": 4 });
        assert_eq!(generation_metadata(&config).1, ["max_new_tokens", "no_repeat_ngram_size", "num_beams"]);
    }
}
