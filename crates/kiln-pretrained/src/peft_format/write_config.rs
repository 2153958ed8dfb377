//! `adapter_config.json` of a model's adapters, written.

use kiln_nn::adapter::LoraSpec;
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Returns the `adapter_config.json` for `specs`, the adapters by the base model's names of their layers. `targets` are the
/// names to list as `target_modules`; `task` and `base` are values of `task_type` and `base_model_name_or_path`.
///
/// # Errors
/// If there are no adapters, or they differ in what the file can state only once: dropout and `use_rslora`.
pub(super) fn to_json(
    specs: &BTreeMap<String, LoraSpec>,
    targets: &[String],
    (task, base): (Option<&str>, Option<&str>),
) -> Result<Value, ValidationError> {
    let Some(first) = specs.values().next() else {
        return Err(ValidationError::new("adapter", "the model has no adapters").with_suggestion("attach them first"));
    };
    let differs = |spec: &&LoraSpec| spec.rslora != first.rslora || spec.dropout != first.dropout;
    if let Some(other) = specs.values().find(differs) {
        let describe = |spec: &LoraSpec| format!("dropout = {}, rslora = {}", spec.dropout, spec.rslora);
        let reason = format!(
            "PEFT format needs the same `dropout` and `rslora` for all adapters, found {} and {}",
            describe(first),
            describe(other)
        );
        return Err(ValidationError::new("adapter", reason));
    }
    // The first adapter gives the defaults; the others are patterns where they differ.
    let mut rank_pattern = Map::new();
    let mut alpha_pattern = Map::new();
    for (name, spec) in specs {
        if spec.rank != first.rank {
            rank_pattern.insert(name.clone(), spec.rank.into());
        }
        if spec.alpha != first.alpha {
            alpha_pattern.insert(name.clone(), spec.alpha.into());
        }
    }
    Ok(json!({
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "task_type": task,
        "inference_mode": true,
        "r": first.rank,
        "lora_alpha": first.alpha,
        "lora_dropout": first.dropout,
        "use_rslora": first.rslora,
        "target_modules": targets,
        "rank_pattern": Value::Object(rank_pattern),
        "alpha_pattern": Value::Object(alpha_pattern),
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
    }))
}
