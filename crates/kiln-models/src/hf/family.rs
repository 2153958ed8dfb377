//! What a family is.

use super::binding::Binding;
use crate::config::{BlockConfig, ModelConfig};
use kiln_spec::ValidationError;
use serde_json::Value;

/// A family of models: how its configuration is read and written, and how its weights are called.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its `model_type`.
    pub name: &'static str,
    /// Other values of `model_type` that mean the same.
    pub aliases: &'static [&'static str],
    /// Classes of the reference code that read the same weights; the first is written unless `write` says another.
    pub architectures: &'static [&'static str],
    /// What stands before all names but the head's, and is left away where the head is: `model.`, say.
    pub prefix: &'static str,
    /// Ends of names of tensors that hold nothing to learn, such as masks and frequencies: they may be in the file.
    pub ignored_suffixes: &'static [&'static str],
    /// From `config.json`; what the reference code's class has as a default may be left away there.
    pub read_config: fn(&Value) -> Result<ModelConfig, ValidationError>,
    /// To `config.json`, of the parts that the family has; whether others stand in the way is found by reading it back.
    pub write_config: fn(&ModelConfig) -> Result<Value, ValidationError>,
    /// Every parameter with its name in the file. Several names for one parameter: any of them may be there, all with
    /// the same numbers; the first is written.
    pub bindings: fn(&ModelConfig) -> Vec<Binding>,
}

impl Family {
    /// The model that a `config.json` of this family describes, legal and with nothing left open.
    ///
    /// # Errors
    /// A broken configuration, or an option that Kiln doesn't implement, by its key.
    pub fn config_from_json(&self, config_json: &Value) -> Result<ModelConfig, ValidationError> {
        let mut config = (self.read_config)(config_json)?;
        // Before what is left open is filled in, and after.
        config.check("model")?;
        config.resolve();
        config.check("model")?;
        Ok(config)
    }

    /// The `config.json` of a model, from which the same model is read.
    ///
    /// # Errors
    /// If the family has no counterpart for some part of it: in how many places, and the first of them.
    pub fn config_to_json(&self, config: &ModelConfig) -> Result<Value, (usize, ValidationError)> {
        let mut json = (self.write_config)(config).map_err(|refusal| (usize::MAX, refusal))?;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("model_type".into(), self.name.into());
            fields.entry("architectures").or_insert_with(|| vec![self.architectures[0]].into());
            fields.insert("dtype".into(), "float32".into());
        }
        let read = self.config_from_json(&json).map_err(|refusal| (usize::MAX - 1, refusal))?;
        let found = config_diff(config, &read);
        match found.first() {
            None => Ok(json),
            Some((path, ours, theirs)) => {
                let reason = format!("the family `{}` has no counterpart for {ours}: there it is {theirs}", self.name);
                Err((found.len(), ValidationError::new(path, reason)))
            }
        }
    }
}

/// Where two models differ, with what stands there; nowhere if they compute the same.
pub fn config_diff(ours: &ModelConfig, theirs: &ModelConfig) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    json_diff("model", &normalized_json(ours), &normalized_json(theirs), &mut found);
    found
}

/// A model as data that is equal for equal models: everything written down, a block for each layer.
fn normalized_json(config: &ModelConfig) -> Value {
    let mut config = config.clone();
    config.resolve();
    config.blocks = expand_blocks(&config.blocks);
    if let Some(blocks) = config.encoder.as_mut().and_then(|encoder| encoder.blocks.as_mut()) {
        *blocks = expand_blocks(blocks);
    }
    serde_json::to_value(&config).unwrap_or_default()
}

/// A block for each layer.
fn expand_blocks(blocks: &[BlockConfig]) -> Vec<BlockConfig> {
    let once = |block: &BlockConfig| std::iter::repeat_n(BlockConfig { repeat: 1, ..block.clone() }, block.repeat);
    blocks.iter().flat_map(once).collect()
}

/// Places in which two values differ, with what stands there.
fn json_diff(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<(String, String, String)>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let more = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(more) {
                let [ours, theirs] = [a, b].map(|side| side.get(key).unwrap_or(&Value::Null));
                json_diff(&format!("{path}.{key}"), ours, theirs, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                json_diff(&format!("{path}[{i}]"), a, b, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push((path.into(), ours.to_string(), theirs.to_string())),
    }
}
