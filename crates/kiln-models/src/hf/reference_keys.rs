//! Keys that the reference's classes read of a `config.json`, for each model type.
//!
//! `config_keys.json` is written by `tools/config_keys.py` from the sources of transformers. It decides what becomes of a
//! key that Kiln does not read: a key that the reference reads may change the computation, any other does not.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::LazyLock};

/// Keys that the class of a model type reads.
#[derive(Debug, Deserialize)]
pub(super) struct ReferenceKeys {
    /// The keys, each with the default of the class; `null` if it has none.
    keys: Map<String, Value>,
    /// Other names of keys: `hidden_size` of GPT-2 means `n_embd`.
    aliases: BTreeMap<String, String>,
}

/// The contents of `config_keys.json`.
#[derive(Debug, Default, Deserialize)]
struct ReferenceKeyFile {
    model_types: BTreeMap<String, ReferenceKeys>,
}

static FILE: LazyLock<ReferenceKeyFile> =
    LazyLock::new(|| serde_json::from_str(include_str!("config_keys.json")).unwrap_or_default());

impl ReferenceKeys {
    /// The keys of a model type; `None` if the reference has no such type.
    pub(super) fn of(model_type: &str) -> Option<&'static Self> {
        FILE.model_types.get(model_type)
    }

    /// Whether the class reads a key and `value` is not its default, so that the key may change the computation. `null` is
    /// no value.
    pub(super) fn is_used(&self, key: &str, value: &Value) -> bool {
        let key = self.aliases.get(key).map_or(key, String::as_str);
        let Some(default) = self.keys.get(key) else { return false };
        let is_default = match default {
            Value::Null => is_switched_off(value),
            default => default == value || default.as_f64().is_some() && default.as_f64() == value.as_f64(),
        };
        !(value.is_null() || is_default)
    }

    /// The other name of a key, which has precedence over the key itself.
    pub(super) fn alias(&'static self, key: &str) -> Option<&'static str> {
        self.aliases.iter().find(|(_, own)| *own == key).map(|(alias, _)| alias.as_str())
    }
}

/// Whether a value means that its option is not used: `null`, `false`, an empty list or object.
pub(super) fn is_switched_off(value: &Value) -> bool {
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
    use crate::hf::FAMILIES;
    use serde_json::json;

    #[test]
    fn every_model_type_has_its_keys() {
        for name in FAMILIES.iter().flat_map(|family| family.aliases.iter().chain([&family.name])) {
            let keys = ReferenceKeys::of(name).unwrap_or_else(|| panic!("no keys of {name}"));
            assert!(keys.keys.len() > 30 && keys.keys.contains_key("vocab_size"), "{name}: {:?}", keys.keys);
        }
    }

    #[test]
    fn a_key_is_used_if_the_class_reads_it_and_it_is_not_the_default() {
        let [llama, gpt2] = ["llama", "gpt2"].map(|name| ReferenceKeys::of(name).unwrap());
        assert!(
            llama.is_used("attention_chunk_size", &json!(64))
                && llama.is_used("quantization_config", &json!({"bits": 4}))
        );
        assert!(!llama.is_used("attention_chunk_size", &Value::Null) && !llama.is_used("attention_dropout", &json!(0)));
        assert!(
            !llama.is_used("unsloth_version", &json!("2024.11.7"))
                && !llama.is_used("attn_logit_softcapping", &json!(30.0))
        );
        assert!(gpt2.is_used("hidden_size", &json!(8)) && !gpt2.is_used("scale_attn_weights", &json!(true)));
        assert_eq!(
            (gpt2.alias("n_embd"), gpt2.alias("n_inner"), llama.alias("hidden_size")),
            (Some("hidden_size"), None, None)
        );
    }
}
