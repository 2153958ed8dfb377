//! Metadata of an architecture: a reader that keeps account of the keys that nobody has read, and a writer.

use super::{Gguf, GgufDescription};
use crate::{
    hf::{ConfigReader, Family, template::Holes},
    tensors::TensorSource,
};
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet, sync::LazyLock};

/// Keys of all architectures that do not change what the model computes.
const IGNORED_KEYS: [&str; 6] = [
    "vocab_size",
    "context_length",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "pooling_type",
    "decoder_start_token_id",
];

/// Largest size that a file may state.
const MAX_SIZE: usize = 1 << 28;

/// Largest number of layers that a file may state.
const MAX_LAYERS: usize = 4096;

/// Metadata of a file's architecture, by keys without the architecture's prefix, and its tensors.
///
/// The reader records which keys are read. Those that were not are refused, so that no option of a model is ignored in
/// silence.
pub struct GgufFields<'a> {
    family: &'static str,
    /// The column of the family.
    pub(in crate::hf) gguf: Gguf,
    is_causal: bool,
    /// The key of the norms' ε, and the key that some files have instead.
    pub(super) epsilon_keys: [&'static str; 2],
    metadata: &'a Map<String, Value>,
    tensors: &'a dyn TensorSource,
    known_keys: RefCell<BTreeSet<String>>,
}

/// Keys of the ε of RMSNorm and of LayerNorm.
fn epsilon_keys(family: &Family) -> [&'static str; 2] {
    let mut keys = ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"];
    if !family.has_rms_norm() {
        keys.reverse();
    }
    keys
}

impl<'a> GgufFields<'a> {
    pub(super) fn new(
        family: &Family,
        gguf: Gguf,
        metadata: &'a Map<String, Value>,
        tensors: &'a dyn TensorSource,
    ) -> Self {
        let known = IGNORED_KEYS.iter().map(|key| (*key).to_owned()).collect();
        Self {
            family: family.name,
            gguf,
            is_causal: !family.is_encoder(),
            epsilon_keys: epsilon_keys(family),
            metadata,
            tensors,
            known_keys: RefCell::new(known),
        }
    }

    /// An error for a key, with the key's full name as its path.
    pub(in crate::hf) fn error(&self, key: &str, reason: impl Into<String>) -> ValidationError {
        ValidationError::new(format!("{}.{key}", self.gguf.architecture), reason)
    }

    /// A reader of a `config.json` without keys: it gives the defaults of the family.
    pub(in crate::hf) fn defaults(&self) -> Result<ConfigReader<'static>, ValidationError> {
        static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
        ConfigReader::new(self.family, &EMPTY)
    }

    /// The value of a key; `None` if it is absent.
    pub(in crate::hf) fn get(&self, key: &str) -> Option<&'a Value> {
        self.known_keys.borrow_mut().insert(key.to_owned());
        self.metadata.get(key)
    }

    /// The value of a key converted by `convert`; `expected` names the type in the error.
    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ValidationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let converted = convert(value).map(Some);
        converted.ok_or_else(|| self.error(key, format!("expected {expected}, found {}", describe(value))))
    }

    /// A whole number ≥ 0; `None` if the key is absent.
    pub(in crate::hf) fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.read(key, "a non-negative integer", |value| value.as_u64().and_then(|number| number.try_into().ok()))
    }

    /// A whole number ≥ 0 for each of `count` layers, of which one number is that of all; `None` if the key is absent.
    pub(in crate::hf) fn integers(&self, key: &str, count: usize) -> Result<Option<Vec<usize>>, ValidationError> {
        let integer = |value: &Value| value.as_u64().and_then(|number| number.try_into().ok());
        let integers = |value: &Value| match value {
            Value::Array(list) => {
                let numbers: Option<Vec<usize>> = list.iter().map(integer).collect();
                numbers.filter(|numbers| numbers.len() == count)
            }
            number => integer(number).map(|number| vec![number; count]),
        };
        let expected = format!("a non-negative integer, or {count} of them, one for each layer");
        self.read(key, &expected, integers)
    }

    /// A required size from 1 to 2²⁸.
    pub(in crate::hf) fn size(&self, key: &str) -> Result<usize, ValidationError> {
        self.bounded(key, 1, MAX_SIZE)
    }

    /// A required size from `min` to 2²⁸.
    pub(super) fn size_from(&self, key: &str, min: usize) -> Result<usize, ValidationError> {
        self.bounded(key, min, MAX_SIZE)
    }

    /// A required number of layers from 1 to 4096.
    pub(super) fn layer_count(&self, key: &str) -> Result<usize, ValidationError> {
        self.bounded(key, 1, MAX_LAYERS)
    }

    fn bounded(&self, key: &str, min: usize, max: usize) -> Result<usize, ValidationError> {
        match self.integer(key)? {
            Some(size) if (min..=max).contains(&size) => Ok(size),
            found => {
                let found = found.map_or("nothing".into(), |size| size.to_string());
                Err(self.error(key, format!("expected a size from {min} to {max}, found {found}")))
            }
        }
    }

    /// A number; `None` if the key is absent.
    pub(in crate::hf) fn float(&self, key: &str) -> Result<Option<f64>, ValidationError> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A boolean; `None` if the key is absent.
    pub(in crate::hf) fn flag(&self, key: &str) -> Result<Option<bool>, ValidationError> {
        self.read(key, "a boolean", Value::as_bool)
    }

    /// A string; `None` if the key is absent.
    pub(in crate::hf) fn string(&self, key: &str) -> Result<Option<&'a str>, ValidationError> {
        self.read(key, "a string", Value::as_str)
    }

    /// Checks that a whole number is absent or has the only value that Kiln implements here.
    pub(in crate::hf) fn require(&self, key: &str, supported: usize) -> Result<(), ValidationError> {
        match self.integer(key)? {
            Some(found) if found != supported => Err(self.unsupported(key, supported, found)),
            _ => Ok(()),
        }
    }

    fn unsupported(&self, key: &str, supported: impl ToString, found: impl ToString) -> ValidationError {
        let (supported, found) = (supported.to_string(), found.to_string());
        self.error(key, format!("only {supported} is supported for `{}`, found {found}", self.gguf.architecture))
    }

    /// Whether the file has a tensor.
    pub(in crate::hf) fn has_tensor(&self, name: &str) -> bool {
        self.tensors.entries().contains_key(name)
    }

    /// The values of a tensor; `None` if the file does not have it.
    pub(in crate::hf) fn tensor_values(&self, name: &str) -> Result<Option<Vec<f32>>, ValidationError> {
        if !self.has_tensor(name) {
            return Ok(None);
        }
        let data = self.tensors.read(name).map_err(|error| ValidationError::new(name, error.to_string()))?;
        Ok(data.convert::<f32>().try_into_vec().ok())
    }

    /// The number of rows of a matrix.
    pub(in crate::hf) fn num_rows(&self, name: &str) -> Result<usize, ValidationError> {
        match self.tensors.entries().get(name).map(|entry| &entry.shape[..]) {
            Some([rows, _]) => Ok(*rows),
            Some(other) => Err(ValidationError::new(name, format!("expected a matrix, found shape {other:?}"))),
            None => Err(ValidationError::new(name, "missing tensor")),
        }
    }

    /// Checks keys that say again what other keys say: sizes of heads, and that a decoder is causal.
    pub(super) fn check_implied_keys(&self, holes: &Holes) -> Result<(), ValidationError> {
        let or = |hole: &str, default: usize| if holes.get(hole).is_null() { default } else { holes.integer(hole) };
        let heads = holes.integer("heads").max(1);
        let head_dim = or("head_dim", holes.integer("hidden") / heads);
        // Latent attention is stored as that of one key-value head, whose values are the latents.
        let [kv_heads, key_width, value_width] = match or("kv_rank", 0) {
            0 => [or("kv_heads", heads), head_dim, head_dim],
            rank => [1, rank + holes.integer("rope"), rank],
        };
        if !self.get("attention.head_count_kv").is_some_and(Value::is_array) {
            self.require("attention.head_count_kv", kv_heads)?;
        }
        self.require("attention.key_length", key_width)?;
        self.require("attention.value_length", value_width)?;
        match self.flag("attention.causal")? {
            Some(causal) if causal != self.is_causal => {
                Err(self.unsupported("attention.causal", self.is_causal, causal))
            }
            _ => Ok(()),
        }
    }

    /// Checks that every key was read, or has a value that switches its option off.
    ///
    /// # Errors
    /// The first key that was not read.
    pub(super) fn finish(&self) -> Result<(), ValidationError> {
        let known = self.known_keys.borrow();
        let mut unread = self.metadata.iter().filter(|(key, value)| !known.contains(*key) && !is_unset(value));
        let Some((key, value)) = unread.next() else { return Ok(()) };
        let reason = format!("unsupported metadata key of `{}`, found {}", self.gguf.architecture, describe(value));
        let error = self.error(key, reason);
        Err(match closest_match(key, known.iter().map(String::as_str)) {
            Some(close) => error.with_suggestion(format!("did you mean `{close}`?")),
            None => error,
        })
    }
}

/// Whether a value is 0, false or empty, which switches an option off.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A description for errors. Arrays are described by their length.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("an array of {}", items.len()),
        other => other.to_string(),
    }
}

/// Metadata of a model that is written.
pub struct GgufMetadata {
    /// The column of the family.
    pub(in crate::hf) gguf: Gguf,
    pub(super) epsilon_key: &'static str,
    metadata: Map<String, Value>,
    tensors: Vec<(&'static str, Vec<f32>)>,
}

impl GgufMetadata {
    pub(super) fn new(family: &Family, gguf: Gguf) -> Self {
        Self { gguf, epsilon_key: epsilon_keys(family)[0], metadata: Map::new(), tensors: Vec::new() }
    }

    /// Sets the value of a key, without the architecture's prefix. `null` leaves the key out.
    pub(in crate::hf) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            self.metadata.insert(key.to_owned(), value);
        }
    }

    /// Adds a tensor that is part of the configuration.
    pub(in crate::hf) fn add_tensor(&mut self, name: &'static str, values: Vec<f32>) {
        self.tensors.push((name, values));
    }

    /// The description, with the keys that follow from others.
    pub(super) fn finish(mut self, family: &Family) -> Result<GgufDescription, ValidationError> {
        if let Some(head_dim) = self.metadata.get("attention.key_length").cloned()
            && !self.metadata.contains_key("attention.value_length")
        {
            self.set("attention.value_length", head_dim);
        }
        if family.is_encoder() {
            self.set("attention.causal", false);
        }
        let Self { gguf, metadata, tensors, .. } = self;
        Ok(GgufDescription { architecture: gguf.architecture, metadata, tensors })
    }
}
