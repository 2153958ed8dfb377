//! The metadata of an architecture, read so that nothing in them is ignored in silence.

use crate::gguf::{Metadata, Value};
use crate::tensors::Tensors;
use kiln_spec::{Refusal, config::nearest};
use std::{cell::RefCell, collections::BTreeSet};

/// What a file says of its model: keys without the architecture's name, and tensors.
pub struct Fields<'a> {
    architecture: &'a str,
    metadata: &'a Metadata,
    tensors: &'a dyn Tensors,
    known: RefCell<BTreeSet<String>>,
}

/// Keys of any architecture that say nothing of what the model computes.
const HARMLESS: [&str; 4] = ["vocab_size", "rope.scaling.finetuned", "tensor_data_layout", "pooling_type"];

impl<'a> Fields<'a> {
    pub(in crate::gguf) fn new(architecture: &'a str, metadata: &'a Metadata, tensors: &'a dyn Tensors) -> Self {
        let known = HARMLESS.iter().map(|key| format!("{architecture}.{key}")).collect();
        Self { architecture, metadata, tensors, known: RefCell::new(known) }
    }

    /// The whole key.
    pub fn key(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.architecture);
        self.known.borrow_mut().insert(key.clone());
        key
    }

    /// A whole number, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn whole(&self, key: &str) -> Result<Option<usize>, Refusal> {
        self.metadata.whole(&self.key(key))
    }

    /// A size that the file must say: from 1 to 2²⁸.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn size(&self, key: &str) -> Result<usize, Refusal> {
        let found = self.whole(key)?;
        let told = || found.map_or("nothing".into(), |size| size.to_string());
        let wrong =
            || Refusal::new(self.key(key), format!("a size from 1 to {} was expected, found {}", 1 << 28, told()));
        found.filter(|size| (1..=1 << 28).contains(size)).ok_or_else(wrong)
    }

    /// A number, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Refusal> {
        self.metadata.get(&self.key(key), "a number", Value::number)
    }

    /// A word, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn word(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        self.metadata.text(&self.key(key))
    }

    /// Refuses a switch that stands otherwise than this, the only way that Kiln implements.
    ///
    /// # Errors
    /// If it does, or is no switch.
    pub fn switched(&self, key: &str, on: bool) -> Result<(), Refusal> {
        let key = self.key(key);
        match self.metadata.flag(&key)? {
            Some(found) if found != on => {
                let reason = format!("Kiln implements this of `{}` with {on} alone, found {found}", self.architecture);
                Err(Refusal::new(key, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a key whose value is another than this one, the only one that Kiln implements.
    ///
    /// # Errors
    /// If it is.
    pub fn only(&self, key: &str, value: usize) -> Result<(), Refusal> {
        match self.whole(key)? {
            Some(other) if other != value => {
                let reason =
                    format!("Kiln implements this of `{}` with {value} alone, found {other}", self.architecture);
                Err(Refusal::new(self.key(key), reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, tensor: &str) -> bool {
        self.tensors.entries().contains_key(tensor)
    }

    /// The numbers of a tensor, if it is there.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn tensor(&self, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
        if !self.has(name) {
            return Ok(None);
        }
        let read = self.tensors.read(name).map_err(|error| Refusal::new(name, error.to_string()))?;
        Ok(read.convert::<f32>().try_into_vec().ok())
    }

    /// Rows of a table.
    ///
    /// # Errors
    /// If it isn't there, or no table.
    pub fn rows(&self, table: &str) -> Result<usize, Refusal> {
        match self.tensors.entries().get(table).map(|entry| &entry.shape[..]) {
            Some([rows, _]) => Ok(*rows),
            Some(other) => Err(Refusal::new(table, format!("a table was expected, found the shape {other:?}"))),
            None => Err(Refusal::new(table, "the file has no such tensor")),
        }
    }

    /// Refuses what of this architecture nobody has read, unless it is switched off.
    ///
    /// # Errors
    /// The first such key.
    pub fn done(&self) -> Result<(), Refusal> {
        let (known, ours) = (self.known.borrow(), format!("{}.", self.architecture));
        let mut keys = self.metadata.0.iter().filter(|(key, _)| key.starts_with(&ours));
        let Some((key, value)) = keys.find(|(key, value)| !known.contains(*key) && !value.is_off()) else {
            return Ok(());
        };
        let reason = format!("no option of `{}` that Kiln implements, found {}", self.architecture, value.told());
        let refusal = Refusal::new(key, reason);
        Err(match nearest(key, known.iter().map(String::as_str)) {
            Some(near) => refusal.instead(near),
            None => refusal,
        })
    }
}
