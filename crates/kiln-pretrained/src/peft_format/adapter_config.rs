//! `adapter_config.json` of a LoRA, both ways. Options that Kiln doesn't implement are refused by name.

use kiln_models::hf::ConfigReader;
use kiln_nn::adapter::{LoraInit, LoraSpec};
use kiln_spec::{ValidationError, wildcard::matches_suffix};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Keys that say nothing of what the adapters compute: where they come from, how maps were chosen (the tensors say
/// which), how A and B were first drawn.
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

/// Ways to begin that leave the base's weights as they are. Others change them, so that what is saved fits no base.
const SUPPORTED_INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What the file says of the adapters.
#[derive(Clone, Debug)]
pub(super) struct PeftLoraConfig {
    default_spec: LoraSpec,
    rank_pattern: Map<String, Value>,
    alpha_pattern: Map<String, Value>,
    target_modules: Vec<String>,
}

impl PeftLoraConfig {
    /// What `adapter_config.json` says.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let fields = ConfigReader::new("peft's LoRA", config)?;
        match fields.string("peft_type", "LORA")? {
            "LORA" => {}
            other => {
                let reason = format!("Kiln reads adapters of the type LORA, found {other}");
                return Err(ValidationError::new("peft_type", reason));
            }
        }
        fields.ignore(&IGNORED_KEYS);
        fields.require("bias", "none")?;
        check_init(fields.get("init_lora_weights"))?;
        let shape = LoraSpec {
            rank: fields.size("r", 8)?,
            alpha: fields.float("lora_alpha")?.unwrap_or(8.0),
            rslora: fields.flag("use_rslora", false)?,
            dropout: fields.float("lora_dropout")?.unwrap_or(0.0),
            init: LoraInit::Uniform,
        };
        if !(0.0..1.0).contains(&shape.dropout) {
            let reason = format!("a share from 0 up to but without 1 was expected, found {}", shape.dropout);
            return Err(ValidationError::new("lora_dropout", reason));
        }
        let [ranks, alphas] = ["rank_pattern", "alpha_pattern"].map(|key| parse_pattern(key, fields.get(key)));
        let targets = parse_target_modules(fields.get("target_modules"));
        fields.finish()?;
        Ok(Self { default_spec: shape, rank_pattern: ranks?, alpha_pattern: alphas?, target_modules: targets })
    }

    /// What stands beside a map that the base calls `module`.
    pub fn spec_for(&self, module: &str) -> LoraSpec {
        let of = |patterns: &Map<String, Value>| {
            patterns.iter().find(|(key, _)| matches_suffix(key, module)).and_then(|(_, value)| value.as_f64())
        };
        let rank = of(&self.rank_pattern).map_or(self.default_spec.rank, |rank| rank as usize);
        LoraSpec { rank, alpha: of(&self.alpha_pattern).unwrap_or(self.default_spec.alpha), ..self.default_spec }
    }

    /// Refuses a target that none of `modules` is, whose adapter the file would lack.
    pub fn check_targets(&self, modules: &[&str]) -> Result<(), ValidationError> {
        match self.target_modules.iter().find(|target| !modules.iter().any(|module| matches_suffix(target, module))) {
            Some(target) => {
                let reason = format!("`{target}` is a target, but no tensor of its adapter is in the file");
                Err(ValidationError::new("target_modules", reason))
            }
            None => Ok(()),
        }
    }
}

/// Names alone: a pattern that is one word stands for a regular expression.
fn parse_target_modules(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn check_init(value: Option<&Value>) -> Result<(), ValidationError> {
    let known = |word: &str| SUPPORTED_INITS.contains(&word);
    match value {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(value) if value.as_str().is_some_and(known) => Ok(()),
        Some(value) => {
            let reason = format!("{value} changes the base's weights too, which the folder doesn't hold");
            let instead = "convert the adapter with peft: save_pretrained(path_initial_model_for_weight_conversion=…)";
            Err(ValidationError::new("init_lora_weights", reason).with_suggestion(instead))
        }
    }
}

/// Numbers by the ends of modules' names.
fn parse_pattern(key: &str, value: Option<&Value>) -> Result<Map<String, Value>, ValidationError> {
    let Some(value) = value else { return Ok(Map::new()) };
    let refuse = |reason: String| Err(ValidationError::new(key, reason));
    let Some(patterns) = value.as_object() else { return refuse(format!("an object was expected, found {value}")) };
    let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c));
    for (name, number) in patterns {
        match number.as_f64() {
            _ if !plain(name) => return refuse(format!("Kiln reads names of modules here, not `{name}`")),
            Some(number) if number > 0.0 && (key != "rank_pattern" || number.fract() == 0.0) => {}
            _ => return refuse(format!("a number above 0 was expected at `{name}`, found {number}")),
        }
    }
    Ok(patterns.clone())
}

/// The file for adapters of these shapes by the base's names of their maps, named `targets` in short; what the base is
/// for and what it is called, if they are known.
pub(super) fn to_json(
    shapes: &BTreeMap<String, LoraSpec>,
    targets: &[String],
    (task, base): (Option<&str>, Option<&str>),
) -> Result<Value, ValidationError> {
    let Some(first) = shapes.values().next() else {
        return Err(ValidationError::new("adapter", "the model has no adapters").with_suggestion("attach them first"));
    };
    let odd = |shape: &&LoraSpec| shape.rslora != first.rslora || shape.dropout != first.dropout;
    if let Some(shape) = shapes.values().find(odd) {
        let reason = format!("a folder says one dropout and one kind of scale for all adapters: {first:?}, {shape:?}");
        return Err(ValidationError::new("adapter", reason));
    }
    let other = |shape: &LoraSpec| shape.rank != first.rank;
    let ranks = shapes.iter().filter(|(_, s)| other(s)).map(|(name, s)| (name.clone(), s.rank.into())).collect();
    let other = shapes.iter().filter(|(_, s)| s.alpha != first.alpha);
    let alphas = other.map(|(name, s)| (name.clone(), s.alpha.into())).collect();
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
        "rank_pattern": Value::Object(ranks),
        "alpha_pattern": Value::Object(alphas),
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
    }))
}
