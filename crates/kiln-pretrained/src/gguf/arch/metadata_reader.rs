//! Access to an architecture's metadata that reports every key that was not read.

use crate::gguf::{Metadata, Value};
use kiln_models::tensors::TensorSource;
use kiln_spec::{ValidationError, config::closest_match};
use std::{cell::RefCell, collections::BTreeSet};

/// A file's metadata of its architecture, by keys without the architecture's prefix, and its tensors.
///
/// The reader notes which keys are read. [`finish`](Self::finish) refuses keys that were not, so that no option of a model
/// is ignored in silence.
pub struct MetadataReader<'a> {
    architecture: &'a str,
    metadata: &'a Metadata,
    tensors: &'a dyn TensorSource,
    /// Full keys that were read or can be ignored.
    known_keys: RefCell<BTreeSet<String>>,
}

/// Keys of all architectures that do not change what the model computes.
const IGNORED_KEYS: [&str; 4] = ["vocab_size", "rope.scaling.finetuned", "tensor_data_layout", "pooling_type"];

/// Largest size that a file may state.
const MAX_SIZE: usize = 1 << 28;

impl<'a> MetadataReader<'a> {
    pub(in crate::gguf) fn new(architecture: &'a str, metadata: &'a Metadata, tensors: &'a dyn TensorSource) -> Self {
        let known = IGNORED_KEYS.iter().map(|key| format!("{architecture}.{key}")).collect();
        Self { architecture, metadata, tensors, known_keys: RefCell::new(known) }
    }

    /// Returns the key with the architecture's prefix, and notes it as read.
    pub fn full_key(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.architecture);
        self.known_keys.borrow_mut().insert(key.clone());
        key
    }

    /// Returns a non-negative integer; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, ValidationError> {
        self.metadata.integer(&self.full_key(key))
    }

    /// Returns a required size from 1 to 2²⁸.
    ///
    /// # Errors
    /// If the key is absent, or the value has another type or is out of range.
    pub fn size(&self, key: &str) -> Result<usize, ValidationError> {
        let found = self.integer(key)?;
        if let Some(size) = found.filter(|size| (1..=MAX_SIZE).contains(size)) {
            return Ok(size);
        }
        let found = found.map_or("nothing".into(), |size| size.to_string());
        let reason = format!("expected a size from 1 to {MAX_SIZE}, found {found}");
        Err(ValidationError::new(self.full_key(key), reason))
    }

    /// Returns a number; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ValidationError> {
        self.metadata.get(&self.full_key(key), "a number", Value::as_float)
    }

    /// Returns a string; `None` if the key is absent.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, ValidationError> {
        self.metadata.string(&self.full_key(key))
    }

    /// Checks that a boolean is absent or has the only value that Kiln implements.
    ///
    /// # Errors
    /// If it has the other value or another type.
    pub fn require_flag(&self, key: &str, supported: bool) -> Result<(), ValidationError> {
        let key = self.full_key(key);
        match self.metadata.flag(&key)? {
            Some(found) if found != supported => Err(self.unsupported_value(key, &supported, &found)),
            _ => Ok(()),
        }
    }

    /// Checks that an integer is absent or has the only value that Kiln implements.
    ///
    /// # Errors
    /// If it has another value or another type.
    pub fn require(&self, key: &str, supported: usize) -> Result<(), ValidationError> {
        match self.integer(key)? {
            Some(found) if found != supported => Err(self.unsupported_value(self.full_key(key), &supported, &found)),
            _ => Ok(()),
        }
    }

    fn unsupported_value<T: ToString>(&self, key: String, supported: &T, found: &T) -> ValidationError {
        let (supported, found) = (supported.to_string(), found.to_string());
        ValidationError::new(key, format!("only {supported} is supported for `{}`, found {found}", self.architecture))
    }

    /// Whether the file has a tensor.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.entries().contains_key(name)
    }

    /// Returns the values of a tensor; `None` if the file does not have it.
    ///
    /// # Errors
    /// If the tensor cannot be read.
    pub fn tensor_values(&self, name: &str) -> Result<Option<Vec<f32>>, ValidationError> {
        if !self.has_tensor(name) {
            return Ok(None);
        }
        let data = self.tensors.read(name).map_err(|error| ValidationError::new(name, error.to_string()))?;
        Ok(data.convert::<f32>().try_into_vec().ok())
    }

    /// Returns the number of rows of a matrix.
    ///
    /// # Errors
    /// If the file does not have the tensor, or it is not a matrix.
    pub fn num_rows(&self, name: &str) -> Result<usize, ValidationError> {
        match self.tensors.entries().get(name).map(|entry| &entry.shape[..]) {
            Some([rows, _]) => Ok(*rows),
            Some(other) => Err(ValidationError::new(name, format!("expected a matrix, found shape {other:?}"))),
            None => Err(ValidationError::new(name, "missing tensor")),
        }
    }

    /// Checks that every key of the architecture was read, or has a value that switches its option off.
    ///
    /// # Errors
    /// The first key that was not read.
    pub fn finish(&self) -> Result<(), ValidationError> {
        let known = self.known_keys.borrow();
        let prefix = format!("{}.", self.architecture);
        let mut own_keys = self.metadata.0.iter().filter(|(key, _)| key.starts_with(&prefix));
        let Some((key, value)) = own_keys.find(|(key, value)| !known.contains(*key) && !value.is_unset()) else {
            return Ok(());
        };
        let reason = format!("unsupported metadata key of `{}`, found {}", self.architecture, value.describe());
        let error = ValidationError::new(key, reason);
        Err(match closest_match(key, known.iter().map(String::as_str)) {
            Some(close) => error.with_suggestion(format!("did you mean `{close}`?")),
            None => error,
        })
    }
}
