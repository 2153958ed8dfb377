//! Model family: how its `config.json` is read and written and what its tensors are called.

use super::{
    ConfigReader, ConfigWarning,
    binding::Binding,
    gguf::Gguf,
    keys::{Key, read_keys, write_keys},
    names::{self, Name},
    template::{Holes, Template, TemplateMismatch},
};
use crate::config::{BlockConfig, ModelConfig};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::{fmt, iter::repeat_n};

/// Model family of Hugging Face, such as Llama: a template of its configuration, the keys of `config.json` that fill its holes,
/// and names.
#[derive(Clone, Copy)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub name: &'static str,
    /// Other values of `model_type` for the same architecture.
    pub aliases: &'static [&'static str],
    /// Classes of the reference code that read these weights. The first is written to `architectures`, unless a key writes
    /// another.
    pub architectures: &'static [&'static str],
    /// Prefix of all tensor names but those of the head (`model.`). A file without the head's class, such as one saved
    /// from `LlamaModel`, leaves it out.
    pub prefix: &'static str,
    /// Endings of the names of tensors that may be in a file and are not parameters, such as masks and frequencies. An entry
    /// with `{n}` is the beginning of the names of layers behind the model's last, such as those of multi-token prediction.
    pub ignored_suffixes: &'static [&'static str],
    /// Keys of `config.json`, in the order in which they are read. An absent key has the default of the reference class.
    pub(super) keys: &'static [Key],
    /// The configuration of the family's models, with holes that the keys fill: the JSON of a
    /// [`Template`](super::template::Template).
    pub(super) template: &'static str,
    /// Names of tensors and the parameters that they hold. Several tensors for one parameter are alternatives: any of them
    /// may be in the file, all of those with the same values; the first is written.
    pub(super) names: &'static [&'static [Name]],
    /// The architecture of llama.cpp's files (GGUF) with these models, if there is one.
    pub(super) gguf: Option<Gguf>,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Weight of a difference of structure in the comparison of families, against 1 for another value.
const STRUCTURE_DIFFERENCE: usize = 1000;

impl Family {
    /// The tensors that hold the parameters of a model. Several for one parameter are alternatives, of which the first is
    /// written, or the elements of a stacked parameter.
    pub fn bindings(&self, config: &ModelConfig) -> Vec<Binding> {
        names::bindings(self.names, self.prefix, config)
    }

    /// Whether files may have a tensor of this name although a model of so many layers does not use it.
    pub(super) fn is_ignored(&self, tensor: &str, layers: usize) -> bool {
        self.ignored_suffixes.iter().any(|entry| match entry.split_once("{n}") {
            None => tensor.ends_with(entry),
            Some((before, after)) => {
                let rest =
                    tensor.strip_prefix(before).or_else(|| tensor.strip_prefix(before.strip_prefix(self.prefix)?));
                let layer = rest.and_then(|rest| rest.split_once(after)).and_then(|(layer, _)| layer.parse().ok());
                layer.is_some_and(|layer: usize| layer >= layers)
            }
        })
    }

    /// The model that a `config.json` of this family describes, resolved and checked.
    ///
    /// # Errors
    /// A value of the wrong type or range, or an option that Kiln does not implement, with the key in `config.json`.
    pub fn config_from_json(&self, config_json: &Value) -> Result<ModelConfig, ValidationError> {
        self.config_with_warnings(config_json).map(|(config, _)| config)
    }

    /// The model that a `config.json` of this family describes, with what the file says without effect.
    ///
    /// # Errors
    /// As [`config_from_json`](Self::config_from_json).
    pub fn config_with_warnings(
        &self,
        config_json: &Value,
    ) -> Result<(ModelConfig, Vec<ConfigWarning>), ValidationError> {
        let fields = ConfigReader::for_family(self, config_json)?;
        let holes = read_keys(self.keys, &fields)?;
        let config = self.fill_template(&holes, || fields.finish())?;
        Ok((config, fields.into_warnings()))
    }

    /// The model with these values of the template's holes, resolved and checked. `finish` is called after the holes fit
    /// the template, before sizes are computed with.
    pub(super) fn fill_template(
        &self,
        holes: &Holes,
        finish: impl FnOnce() -> Result<(), ValidationError>,
    ) -> Result<ModelConfig, ValidationError> {
        let mut config = Template::parse(self.template).fill(holes)?;
        finish()?;
        // `resolve` computes with sizes, so they are checked before it; its results are checked after it.
        config.check("model")?;
        config.resolve();
        config.check("model")?;
        Ok(config)
    }

    /// The values of the template's holes in a model.
    ///
    /// # Errors
    /// If the model has another structure: the number of differences, and the first of them.
    pub(super) fn match_template(&self, config: &ModelConfig) -> Result<Holes, (usize, ValidationError)> {
        let holes = Template::parse(self.template).match_model(&normalized_json(config));
        holes.map_err(|mismatches| self.structure_error(&mismatches))
    }

    /// The `config.json` of a model. It is read back: only if that gives the same model is it returned.
    ///
    /// # Errors
    /// If the family cannot express the model: the number of differences, and the first of them with its path in
    /// [`ModelConfig`]. A difference of structure counts as many.
    pub fn config_to_json(&self, config: &ModelConfig) -> Result<Value, (usize, ValidationError)> {
        let holes = self.match_template(config)?;
        let mut fields = write_keys(self.keys, &holes).map_err(|error| (STRUCTURE_DIFFERENCE, error))?;
        fields.insert("model_type".into(), self.name.into());
        fields.entry("architectures").or_insert_with(|| vec![self.architectures[0]].into());
        fields.insert("dtype".into(), "float32".into());
        let json = Value::Object(fields);
        let read_back = self.config_from_json(&json).map_err(|error| self.unreadable_error(&error))?;
        let differences = config_diff(config, &read_back);
        match differences.first() {
            None => Ok(json),
            Some((path, ours, theirs)) => {
                let reason = format!("Hugging Face's `{}` cannot represent {ours}; it always uses {theirs}", self.name);
                Err((differences.len(), ValidationError::new(path, reason)))
            }
        }
    }
}

impl Family {
    /// The error for a model of another structure than the template.
    fn structure_error(&self, mismatches: &[TemplateMismatch]) -> (usize, ValidationError) {
        let count = STRUCTURE_DIFFERENCE * mismatches.len();
        let TemplateMismatch { path, found, expected } = mismatches.first().cloned().unwrap_or_default();
        let reason = format!("Hugging Face's `{}` cannot represent {found} here; it always has {expected}", self.name);
        (count, ValidationError::new(path, reason))
    }

    /// The error for a model whose `config.json` is read as no legal model, such as one with heads of another width than the
    /// family derives from other sizes.
    fn unreadable_error(&self, error: &ValidationError) -> (usize, ValidationError) {
        if error.path.starts_with("model.") {
            return (STRUCTURE_DIFFERENCE, error.clone());
        }
        let reason =
            format!("Hugging Face's `{}` cannot represent the model; its config.json would have {error}", self.name);
        (STRUCTURE_DIFFERENCE, ValidationError::new("model", reason))
    }
}

/// The error for a class in `architectures` whose head Kiln does not implement. `classes` are those that it does.
pub(super) fn unsupported_class(classes: &[&str], class: &str) -> ValidationError {
    let suggestion = format!("supported: {}", classes.join(", "));
    ValidationError::new("architectures", format!("unsupported class `{class}`")).with_suggestion(suggestion)
}

/// The error for a part that the family's keys cannot say. `supported` is what they can say instead.
pub(super) fn inexpressible(path: &str, supported: &str) -> ValidationError {
    ValidationError::new(path, format!("Hugging Face's format supports only {supported}"))
}

/// Differences between two models: path, value in `ours`, value in `theirs`, as JSON. Empty if they compute the same.
///
/// Both are resolved and their repeated blocks expanded before they are compared.
pub fn config_diff(ours: &ModelConfig, theirs: &ModelConfig) -> Vec<(String, String, String)> {
    let mut differences = Vec::new();
    json_diff("model", &normalized_json(ours), &normalized_json(theirs), &mut differences);
    differences
}

/// A form that is equal for equal models: resolved, one block for each layer.
pub(super) fn normalized_json(config: &ModelConfig) -> Value {
    let mut config = config.clone();
    config.resolve();
    config.blocks = expand_blocks(&config.blocks);
    if let Some(blocks) = config.encoder.as_mut().and_then(|encoder| encoder.blocks.as_mut()) {
        *blocks = expand_blocks(blocks);
    }
    serde_json::to_value(&config).unwrap_or_default()
}

/// One block for each layer.
fn expand_blocks(blocks: &[BlockConfig]) -> Vec<BlockConfig> {
    blocks.iter().flat_map(|block| repeat_n(BlockConfig { repeat: 1, ..block.clone() }, block.repeat)).collect()
}

/// Appends the paths at which two JSON values differ, with both values. Lists of different length differ as a whole.
fn json_diff(path: &str, ours: &Value, theirs: &Value, differences: &mut Vec<(String, String, String)>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let only_theirs = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_theirs) {
                let [ours, theirs] = [a, b].map(|object| object.get(key).unwrap_or(&Value::Null));
                json_diff(&format!("{path}.{key}"), ours, theirs, differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                json_diff(&format!("{path}[{i}]"), a, b, differences);
            }
        }
        _ if ours == theirs => {}
        _ => differences.push((path.into(), ours.to_string(), theirs.to_string())),
    }
}
