//! The metadata of an architecture, read so that nothing in them is ignored in silence.

use crate::gguf::{Metadata, Value};
use kiln_models::tensors::TensorSource;
use kiln_spec::{ValidationError, config::closest_match};
use std::{cell::RefCell, collections::BTreeSet};

/// What a file says of its model: keys without the architecture's name, and tensors.
pub struct MetadataReader<'a> {
    architecture: &'a str,
    metadata: &'a Metadata,
    tensors: &'a dyn TensorSource,
    known_keys: RefCell<BTreeSet<String>>,
}

/// Keys of any architecture that say nothing of what the model computes.
const IGNORED_KEYS: [&str; 4] = ["vocab_size", "rope.scaling.finetuned", "tensor_data_layout", "pooling_type"];

impl<'a> MetadataReader<'a> {
    pub(in crate::gguf) fn new(architecture: &'a str, metadata: &'a Metadata, tensors: &'a dyn TensorSource) -> Self {
        let known = IGNORED_KEYS.iter().map(|key| format!("{architecture}.{key}")).collect();
        Self { architecture, metadata, tensors, known_keys: RefCell::new(known) }
    }

    /// The whole key.
    pub fn full_key(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.architecture);
        self.known_keys.borrow_mut().insert(key.clone());
        key
    }

    /// A whole number, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.metadata.integer(&self.full_key(key))
    }

    /// A size that the file must say: from 1 to 2²⁸.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn size(&self, key: &str) -> Result<usize, ValidationError> {
        let found = self.integer(key)?;
        let told = || found.map_or("nothing".into(), |size| size.to_string());
        let wrong = || {
            ValidationError::new(
                self.full_key(key),
                format!("a size from 1 to {} was expected, found {}", 1 << 28, told()),
            )
        };
        found.filter(|size| (1..=1 << 28).contains(size)).ok_or_else(wrong)
    }

    /// A number, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ValidationError> {
        self.metadata.get(&self.full_key(key), "a number", Value::as_float)
    }

    /// A word, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, ValidationError> {
        self.metadata.string(&self.full_key(key))
    }

    /// Refuses a switch that stands otherwise than this, the only way that Kiln implements.
    ///
    /// # Errors
    /// If it does, or is no switch.
    pub fn require_flag(&self, key: &str, on: bool) -> Result<(), ValidationError> {
        let key = self.full_key(key);
        match self.metadata.flag(&key)? {
            Some(found) if found != on => {
                let reason = format!("Kiln implements this of `{}` with {on} alone, found {found}", self.architecture);
                Err(ValidationError::new(key, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a key whose value is another than this one, the only one that Kiln implements.
    ///
    /// # Errors
    /// If it is.
    pub fn require(&self, key: &str, value: usize) -> Result<(), ValidationError> {
        match self.integer(key)? {
            Some(other) if other != value => {
                let reason =
                    format!("Kiln implements this of `{}` with {value} alone, found {other}", self.architecture);
                Err(ValidationError::new(self.full_key(key), reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn has_tensor(&self, tensor: &str) -> bool {
        self.tensors.entries().contains_key(tensor)
    }

    /// The numbers of a tensor, if it is there.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn tensor_values(&self, name: &str) -> Result<Option<Vec<f32>>, ValidationError> {
        if !self.has_tensor(name) {
            return Ok(None);
        }
        let read = self.tensors.read(name).map_err(|error| ValidationError::new(name, error.to_string()))?;
        Ok(read.convert::<f32>().try_into_vec().ok())
    }

    /// Rows of a table.
    ///
    /// # Errors
    /// If it isn't there, or no table.
    pub fn num_rows(&self, table: &str) -> Result<usize, ValidationError> {
        match self.tensors.entries().get(table).map(|entry| &entry.shape[..]) {
            Some([rows, _]) => Ok(*rows),
            Some(other) => Err(ValidationError::new(table, format!("a table was expected, found the shape {other:?}"))),
            None => Err(ValidationError::new(table, "the file has no such tensor")),
        }
    }

    /// Refuses what of this architecture nobody has read, unless it is switched off.
    ///
    /// # Errors
    /// The first such key.
    pub fn finish(&self) -> Result<(), ValidationError> {
        let (known, ours) = (self.known_keys.borrow(), format!("{}.", self.architecture));
        let mut keys = self.metadata.0.iter().filter(|(key, _)| key.starts_with(&ours));
        let Some((key, value)) = keys.find(|(key, value)| !known.contains(*key) && !value.is_unset()) else {
            return Ok(());
        };
        let reason = format!("no option of `{}` that Kiln implements, found {}", self.architecture, value.describe());
        let refusal = ValidationError::new(key, reason);
        Err(match closest_match(key, known.iter().map(String::as_str)) {
            Some(near) => refusal.with_suggestion(near),
            None => refusal,
        })
    }
}
