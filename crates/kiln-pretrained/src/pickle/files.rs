//! Weights in several files, as an index lists them.

use super::PickleFile;
use burn::tensor::TensorData;
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource};
use std::collections::BTreeMap;

/// The tensors of several files that `torch.save` wrote, as of one.
pub struct PickleFiles<B> {
    files: Vec<PickleFile<B>>,
    entries: BTreeMap<String, TensorInfo>,
}

impl<B: AsRef<[u8]>> PickleFiles<B> {
    /// Joins files.
    ///
    /// # Errors
    /// If two of them name the same tensor.
    pub fn new(files: Vec<PickleFile<B>>) -> Result<Self, TensorError> {
        let mut entries = BTreeMap::new();
        for (name, entry) in files.iter().flat_map(TensorSource::entries) {
            if entries.insert(name.clone(), entry.clone()).is_some() {
                return Err(TensorError::Broken { name: name.clone(), reason: "it is in two of the files".into() });
            }
        }
        Ok(Self { files, entries })
    }
}

impl<B: AsRef<[u8]>> TensorSource for PickleFiles<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let file = self.files.iter().find(|file| file.entries().contains_key(name));
        file.ok_or_else(|| TensorError::NotFound(name.into()))?.read(name)
    }
}
