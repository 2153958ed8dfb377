//! `adapter_config.json` of a LoRA, read and written. Options that Kiln does not implement are refused by name.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `r` | rank | 8 |
//! | `lora_alpha` | α: the adapter's output is scaled by α/r, or α/√r with `use_rslora` | 8 |
//! | `use_rslora` | rank-stabilized scale (2312.03732) | false |
//! | `lora_dropout` | dropout of the adapter's input in training | 0 |
//! | `target_modules` | layers with adapters, by the ends of their names | |
//! | `rank_pattern`, `alpha_pattern` | ranks and α of single layers, by the ends of their names | none |

use kiln_models::hf::ConfigReader;
use kiln_nn::adapter::{LoraInit, LoraSpec};
use kiln_spec::{ValidationError, wildcard::matches_suffix};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Keys that do not change what loaded adapters compute: their origin, how layers were selected (the tensors say which),
/// how A and B were initialized.
const IGNORED_KEYS: [&str; 16] = [
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "exclude_modules",
    "fan_in_fan_out",
    "layers_to_transform",
    "layers_pattern",
    "megatron_core",
    "qalora_group_size",
    "loftq_config",
    "eva_config",
    "runtime_config",
    "ensure_weight_tying",
];

/// Values of `init_lora_weights` that leave the base weights unchanged. Others (PiSSA, OLoRA, CorDA, LoftQ) subtract the
/// initial adapters from the base weights, so that a saved adapter does not fit the base model.
const SUPPORTED_INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// The adapters that an `adapter_config.json` describes.
#[derive(Clone, Debug)]
pub(super) struct PeftLoraConfig {
    default_spec: LoraSpec,
    /// Ranks of modules that differ from the default, by the end of the module's name.
    rank_pattern: Map<String, Value>,
    /// Values of α that differ from the default, by the end of the module's name.
    alpha_pattern: Map<String, Value>,
    target_modules: Vec<String>,
}

impl PeftLoraConfig {
    /// Reads an `adapter_config.json`.
    ///
    /// # Errors
    /// If an option is not supported or a value has the wrong type; the error's path is the key.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let fields = ConfigReader::new("peft's LoRA", config)?;
        match fields.string("peft_type", "LORA")? {
            "LORA" => {}
            other => {
                let error = ValidationError::new("peft_type", format!("unsupported adapter type `{other}`"));
                return Err(error.with_suggestion("supported: LORA"));
            }
        }
        fields.ignore(&IGNORED_KEYS);
        fields.require("bias", "none")?;
        check_init(fields.get("init_lora_weights"))?;
        let default_spec = LoraSpec {
            rank: fields.size("r", 8)?,
            alpha: fields.float("lora_alpha")?.unwrap_or(8.0),
            rslora: fields.flag("use_rslora", false)?,
            dropout: fields.float("lora_dropout")?.unwrap_or(0.0),
            init: LoraInit::Uniform,
        };
        if !(0.0..1.0).contains(&default_spec.dropout) {
            let reason = format!("expected a number of at least 0 and below 1, found {}", default_spec.dropout);
            return Err(ValidationError::new("lora_dropout", reason));
        }
        let rank_pattern = parse_pattern("rank_pattern", fields.get("rank_pattern"));
        let alpha_pattern = parse_pattern("alpha_pattern", fields.get("alpha_pattern"));
        let target_modules = parse_target_modules(fields.get("target_modules"));
        fields.finish()?;
        Ok(Self { default_spec, rank_pattern: rank_pattern?, alpha_pattern: alpha_pattern?, target_modules })
    }

    /// Returns the adapter of the base model's layer `module`.
    pub fn spec_for(&self, module: &str) -> LoraSpec {
        let rank = pattern_value(&self.rank_pattern, module).map(|rank| rank as usize);
        let alpha = pattern_value(&self.alpha_pattern, module);
        let default = self.default_spec;
        LoraSpec { rank: rank.unwrap_or(default.rank), alpha: alpha.unwrap_or(default.alpha), ..default }
    }

    /// Checks that every target is one of `modules`, the layers whose adapters the file has.
    ///
    /// # Errors
    /// The first target without an adapter.
    pub fn check_targets(&self, modules: &[&str]) -> Result<(), ValidationError> {
        match self.target_modules.iter().find(|target| !modules.iter().any(|module| matches_suffix(target, module))) {
            Some(target) => {
                let reason = format!("`{target}` is a target, but the file contains no adapter weights for it");
                Err(ValidationError::new("target_modules", reason))
            }
            None => Ok(()),
        }
    }
}

/// The first value of a pattern whose key is the end of a module's name.
fn pattern_value(pattern: &Map<String, Value>, module: &str) -> Option<f64> {
    pattern.iter().find(|(key, _)| matches_suffix(key, module)).and_then(|(_, value)| value.as_f64())
}

/// The names in a list of targets. A string is a regular expression in PEFT, and gives no names.
fn parse_target_modules(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Refuses initializations that change the base weights.
fn check_init(value: Option<&Value>) -> Result<(), ValidationError> {
    match value {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(value) if value.as_str().is_some_and(|init| SUPPORTED_INITS.contains(&init)) => Ok(()),
        Some(value) => {
            let reason = format!(
                "init_lora_weights = {value} also changes the base weights, which an adapter folder does not contain"
            );
            let suggestion =
                "convert the adapter with peft: save_pretrained(path_initial_model_for_weight_conversion=…)";
            Err(ValidationError::new("init_lora_weights", reason).with_suggestion(suggestion))
        }
    }
}

/// Parses `rank_pattern` or `alpha_pattern`: positive numbers by the ends of module names, ranks being integers. PEFT
/// allows regular expressions as keys; Kiln reads plain names.
fn parse_pattern(key: &str, value: Option<&Value>) -> Result<Map<String, Value>, ValidationError> {
    let Some(value) = value else { return Ok(Map::new()) };
    let Some(pattern) = value.as_object() else {
        return Err(ValidationError::new(key, format!("expected an object, found {value}")));
    };
    for (name, number) in pattern {
        if !name.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c)) {
            let reason = format!(
                "regular expressions are not supported, found `{name}`; expected a module name such as `q_proj`"
            );
            return Err(ValidationError::new(key, reason));
        }
        let is_valid = |number: f64| number > 0.0 && (key != "rank_pattern" || number.fract() == 0.0);
        if !number.as_f64().is_some_and(is_valid) {
            let expected = if key == "rank_pattern" { "an integer above 0" } else { "a number above 0" };
            return Err(ValidationError::new(key, format!("`{name}`: expected {expected}, found {number}")));
        }
    }
    Ok(pattern.clone())
}

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
