//! Weights in several files, as an index lists them.

use super::Pickle;
use crate::tensors::{Entry, TensorError, Tensors};
use burn::tensor::TensorData;
use std::collections::BTreeMap;

/// The tensors of several files that `torch.save` wrote, as of one.
pub struct Pickles<B> {
    files: Vec<Pickle<B>>,
    entries: BTreeMap<String, Entry>,
}

impl<B: AsRef<[u8]>> Pickles<B> {
    /// Joins files.
    ///
    /// # Errors
    /// If two of them name the same tensor.
    pub fn new(files: Vec<Pickle<B>>) -> Result<Self, TensorError> {
        let mut entries = BTreeMap::new();
        for (name, entry) in files.iter().flat_map(Tensors::entries) {
            if entries.insert(name.clone(), entry.clone()).is_some() {
                return Err(TensorError::Broken { name: name.clone(), reason: "it is in two of the files".into() });
            }
        }
        Ok(Self { files, entries })
    }
}

impl<B: AsRef<[u8]>> Tensors for Pickles<B> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let file = self.files.iter().find(|file| file.entries().contains_key(name));
        file.ok_or_else(|| TensorError::Unknown(name.into()))?.read(name)
    }
}
