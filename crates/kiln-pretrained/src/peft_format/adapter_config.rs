//! `adapter_config.json` of a LoRA, read. Options that Kiln does not implement are refused by name.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `r` | rank | 8 |
//! | `lora_alpha` | α: the adapter's output is scaled by α/r, or α/√r with `use_rslora` | 8 |
//! | `use_rslora` | rank-stabilized scale (2312.03732) | false |
//! | `lora_dropout` | dropout of the adapter's input in training | 0 |
//! | `rank_pattern`, `alpha_pattern` | ranks and α of single modules, by regular expressions (`module_values`) | none |
//! | `target_modules` and others | modules with adapters (`module_rules`) | |
//! | `trainable_token_indices` | rows of an embedding that the file has | none |
//! | `ensure_weight_tying` | an embedding and a head that share their weight share what the file has for it too | false |

use super::{
    config_keys::{MERGE_SUGGESTION, check_keys},
    module_rules::ModuleRules,
    module_values::ModuleValues,
};
use kiln_models::hf::ConfigReader;
use kiln_nn::adapter::{LoraInit, LoraSpec};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// The configuration of the adapters.
pub const CONFIG_FILE: &str = "adapter_config.json";

/// Values of `init_lora_weights` that leave the base weights unchanged. Others (PiSSA, OLoRA, CorDA, LoftQ) subtract the
/// initial adapters from the base weights, so that a saved adapter does not fit the base model.
const SUPPORTED_INITS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// The adapters that an `adapter_config.json` describes.
#[derive(Clone, Debug)]
pub(super) struct PeftLoraConfig {
    default_spec: LoraSpec,
    /// Ranks of modules that differ from the default.
    pub ranks: ModuleValues,
    /// Values of α of modules that differ from the default.
    pub alphas: ModuleValues,
    /// The modules with adapters.
    pub modules: ModuleRules,
    /// Whether tied weights share what the file has for one of them.
    pub ties_weights: bool,
    /// Rows of embeddings that the file has, by the module's name or its end; the name is `None` for the input embedding.
    pub token_rows: Vec<TokenRows>,
}

impl PeftLoraConfig {
    /// Reads an `adapter_config.json`.
    ///
    /// # Errors
    /// If an option is not supported or a value has the wrong type; the error's path is the key.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let fields = ConfigReader::new("peft's LoRA", config)?;
        let empty = Map::new();
        let keys = config.as_object().unwrap_or(&empty);
        match fields.string("peft_type", "LORA")? {
            "LORA" => {}
            other => {
                let error = ValidationError::new("peft_type", format!("unsupported adapter type `{other}`"));
                return Err(error.with_suggestion(format!("supported: LORA; {MERGE_SUGGESTION}")));
            }
        }
        check_keys(keys)?;
        check_bias(fields.string("bias", "none")?)?;
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
        Ok(Self {
            default_spec,
            ranks: ModuleValues::from_json("rank_pattern", fields.get("rank_pattern"))?,
            alphas: ModuleValues::from_json("alpha_pattern", fields.get("alpha_pattern"))?,
            modules: ModuleRules::from_json(keys)?,
            ties_weights: fields.flag("ensure_weight_tying", false)?,
            token_rows: parse_token_rows(fields.get("trainable_token_indices"))?,
        })
    }

    /// Returns the adapter of the base model's layer `module`.
    ///
    /// # Errors
    /// If an expression cannot be matched.
    pub fn spec_for(&self, module: &str) -> Result<LoraSpec, ValidationError> {
        let rank = self.ranks.value(module)?.map(|rank| rank as usize);
        let alpha = self.alphas.value(module)?;
        let default = self.default_spec;
        Ok(LoraSpec { rank: rank.unwrap_or(default.rank), alpha: alpha.unwrap_or(default.alpha), ..default })
    }
}

/// Checks the name of the biases that were trained. They are in the weight file under their own names.
fn check_bias(bias: &str) -> Result<(), ValidationError> {
    if ["none", "all", "lora_only"].contains(&bias) {
        return Ok(());
    }
    Err(ValidationError::new("bias", format!("expected `none`, `all` or `lora_only`, found `{bias}`")))
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

/// A module, or the input embedding, and the ids of the tokens whose rows are trained.
type TokenRows = (Option<String>, Vec<u64>);

/// Parses `trainable_token_indices`: a list of token ids of the input embedding, or an object of lists by module.
fn parse_token_rows(value: Option<&Value>) -> Result<Vec<TokenRows>, ValidationError> {
    const KEY: &str = "trainable_token_indices";
    let ids = |value: &Value| {
        let ids = value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>());
        ids.ok_or_else(|| ValidationError::new(KEY, format!("expected a list of token ids, found {value}")))
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Object(modules)) => {
            modules.iter().map(|(module, value)| Ok((Some(module.clone()), ids(value)?))).collect()
        }
        Some(value) => Ok(vec![(None, ids(value)?)]),
    }
}
