//! Keys of an `adapter_config.json`: those that compute nothing, those that are read, and those that Kiln lacks.

use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value};

/// Keys that do not change what loaded adapters compute: their origin, the layout of weights in the reference's modules,
/// how A and B were initialized and trained. What they add to the file, such as biases, is seen in the file.
const IGNORED_KEYS: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "velora_config",
];

/// Keys that are read by `PeftLoraConfig` and `ModuleRules`.
const READ_KEYS: [&str; 15] = [
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "lora_dropout",
    "rank_pattern",
    "alpha_pattern",
    "bias",
    "init_lora_weights",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "trainable_token_indices",
    "ensure_weight_tying",
];

/// Options that change what adapters compute, and what they are.
const UNSUPPORTED_KEYS: [(&str, &str); 11] = [
    ("use_dora", "DoRA (2402.09353): magnitudes of the weight's columns"),
    ("alora_invocation_tokens", "activated LoRA (2504.12397): adapters from some token on"),
    ("arrow_config", "Arrow: a choice among several adapters for each token"),
    ("kasa_config", "KaSA: singular values between A and B"),
    ("layer_replication", "layers that are repeated"),
    ("lora_bias", "a bias of B"),
    ("megatron_config", "layers of Megatron"),
    ("monteclora_config", "MonteCLoRA: adapters with sampled values"),
    ("target_parameters", "adapters of parameters that are not linear layers"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("use_qalora", "QA-LoRA (2309.14717): adapters on pooled inputs"),
];

/// What to do about adapters that Kiln cannot compute.
pub(super) const MERGE_SUGGESTION: &str =
    "merge the adapters into the base model with peft (merge_and_unload) and load the result";

/// Refuses options that Kiln lacks and keys that it does not know, unless they are switched off.
///
/// # Errors
/// The first such key.
pub(super) fn check_keys(config: &Map<String, Value>) -> Result<(), ValidationError> {
    let known = || IGNORED_KEYS.into_iter().chain(READ_KEYS);
    if let Some((key, value)) =
        config.iter().find(|(key, value)| !is_switched_off(value) && known().all(|name| name != *key))
    {
        let error = match UNSUPPORTED_KEYS.iter().find(|(name, _)| name == key) {
            Some((_, meaning)) => ValidationError::new(key, format!("{meaning}; not supported, found {value}"))
                .with_suggestion(MERGE_SUGGESTION),
            None => {
                let meant = closest_match(key, known()).map(|name| format!("did you mean `{name}`? "));
                let meant = meant.unwrap_or_default();
                let suggestion =
                    format!("{meant}remove it from adapter_config.json if the adapters do not depend on it");
                ValidationError::new(key, format!("unknown option, found {value}")).with_suggestion(suggestion)
            }
        };
        return Err(error);
    }
    Ok(())
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

    fn checked(config: &Value) -> Result<(), ValidationError> {
        check_keys(config.as_object().unwrap())
    }

    #[test]
    fn options_that_are_off_and_keys_that_compute_nothing_are_accepted() {
        let off = json!({ "use_dora": false, "lora_bias": false, "layer_replication": null, "later": [], "r": 3 });
        assert!(checked(&off).is_ok());
        assert!(checked(&json!({ "eva_config": { "rho": 2.0 }, "megatron_core": "megatron.core" })).is_ok());
    }

    #[test]
    fn an_unsupported_option_is_named_with_its_meaning() {
        let error = checked(&json!({ "use_dora": true })).unwrap_err();
        assert!(error.path == "use_dora" && error.reason.contains("DoRA"), "{error}");
        assert!(error.suggestion.unwrap().contains("merge_and_unload"));
        let error = checked(&json!({ "use_rslorra": true })).unwrap_err();
        assert!(error.path == "use_rslorra" && error.suggestion.unwrap().contains("did you mean `use_rslora`?"));
    }
}
