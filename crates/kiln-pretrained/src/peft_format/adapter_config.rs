//! `adapter_config.json`, read: the method and its options, the modules with adapters, and what the folder changes besides.
//!
//! The keys of each method are in its table (`method/`); `module_rules` and `module_values` read those that name modules.

use super::{
    keys::Options,
    method::{self, Method},
    module_rules::ModuleRules,
    module_values::ModuleValues,
    rank_masks::RankMasks,
};
use kiln_models::hf::ConfigReader;
use kiln_nn::adapter::{AdapterSpec, SiteKind};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// The configuration of the adapters.
pub const CONFIG_FILE: &str = "adapter_config.json";

/// The adapters that an `adapter_config.json` describes.
#[derive(Clone)]
pub(super) struct PeftConfig {
    /// The table of the method.
    pub method: &'static Method,
    /// The options of the table.
    pub options: Options,
    /// Ranks of modules that differ from the default.
    pub ranks: ModuleValues,
    /// The singular values that the file has, of a method that leaves some out.
    pub masks: RankMasks,
    /// Values of α of modules that differ from the default.
    pub alphas: ModuleValues,
    /// The modules with adapters.
    pub modules: ModuleRules,
    /// Rows of embeddings that the file has, by the module's name or its end; the name is `None` for the input embedding.
    pub token_rows: Vec<TokenRows>,
}

impl PeftConfig {
    /// Reads an `adapter_config.json`.
    ///
    /// # Errors
    /// If the method or an option is not supported or a value has the wrong type; the error's path is the key.
    pub fn from_json(config: &Value) -> Result<Self, ValidationError> {
        let fields = ConfigReader::new("peft's adapter", config)?;
        let method = method::find(fields.string("peft_type", "LORA")?)?;
        let pattern = fields.get("rank_pattern");
        Ok(Self {
            method,
            options: Options::read(method, config)?,
            ranks: ModuleValues::from_json("rank_pattern", pattern.filter(|_| method.pruned.is_none()))?,
            masks: match method.pruned {
                Some(tensor) => RankMasks::from_json(tensor, pattern)?,
                None => RankMasks::default(),
            },
            alphas: ModuleValues::from_json("alpha_pattern", fields.get("alpha_pattern"))?,
            modules: ModuleRules::from_json(config.as_object().unwrap_or(&Map::new()))?,
            token_rows: parse_token_rows(fields.get("trainable_token_indices"))?,
        })
    }

    /// Returns the adapter of the base model's module or parameter `module`.
    ///
    /// # Errors
    /// If an expression cannot be matched, or the method has no form for such a module.
    pub fn spec_for(&self, module: &str, site: SiteKind) -> Result<AdapterSpec, ValidationError> {
        (self.method.spec)(self, module, site)
    }

    /// Whether tied weights share what the file has for one of them.
    pub fn ties_weights(&self) -> bool {
        self.options.flag("ensure_weight_tying")
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
