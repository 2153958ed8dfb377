//! PyTorch weights (`pytorch_model.bin`, `.pt`), read without executing anything from the file.
//!
//! A pickle is a program for a stack machine (Python's `pickletools` lists its operations). The interpreter of this module
//! knows the operations that data needs and the few global names from which tensors are built; any other name is an error
//! that quotes it. Every size in the file is checked against the bytes that exist before memory is allocated for it.
//!
//! ```text
//! file ─► container (zip archive, or the format before PyTorch 1.6) ─► unpickler ─► state_dict: name → tensor view
//! ```

mod container;
mod cursor;
mod object;
mod state_dict;
mod tensor_view;
#[cfg(test)]
mod tests;
mod unpickler;
mod zip_archive;

use burn::tensor::TensorData;
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource};
use std::{collections::BTreeMap, ops::Range};
use tensor_view::{StorageDtype, StridedView};

/// Why a PyTorch file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// The file is not one that `torch.save` writes.
    #[error("not a weights file written by `torch.save`: {0}")]
    NotTorchSave(String),
    /// The pickle names a Python function or class that is not needed for tensors.
    #[error(
        "the pickle references `{0}`; Kiln never executes pickled code and reads tensors only. Save the weights with \
         `torch.save(model.state_dict(), …)` or as safetensors"
    )]
    UnsupportedGlobal(String),
    /// The pickle is damaged, or uses an operation that is not supported.
    #[error("invalid pickle at byte {offset}: {reason}")]
    Broken {
        /// Position in the pickle, in bytes.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A storage does not have the size that the pickle states.
    #[error("storage `{key}`: {reason}")]
    Storage {
        /// The key of the storage.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor does not fit its storage.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl PickleError {
    fn not_torch_save(reason: impl Into<String>) -> Self {
        Self::NotTorchSave(reason.into())
    }
}

/// A tensor of a file: a view of a storage, checked to be within it.
struct TensorView {
    dtype: StorageDtype,
    /// The storage's bytes in the file.
    byte_range: Range<usize>,
    view: StridedView,
}

/// The tensors of one file of `torch.save`, under their names in its dictionary.
///
/// The keys of nested dictionaries are joined by dots. In a training checkpoint, the dictionary under `state_dict`,
/// `model_state_dict`, `model` or `module` is read. `B` holds the bytes: a vector, a slice or a memory map.
///
/// Integers, booleans and floats of every width become f32.
pub struct PickleFile<B> {
    bytes: B,
    entries: BTreeMap<String, TensorInfo>,
    views: BTreeMap<String, TensorView>,
}

impl<B: AsRef<[u8]>> PickleFile<B> {
    /// Opens a file: interprets its pickle and checks every tensor against the file. Tensor values are not read.
    ///
    /// # Errors
    /// If the file is of another format or damaged, or its pickle asks for anything but tensors and plain data.
    pub fn open(file: B) -> Result<Self, PickleError> {
        let bytes = file.as_ref();
        let contents = container::open(bytes)?;
        let mut entries = BTreeMap::new();
        let mut views = BTreeMap::new();
        for (name, tensor) in contents.tensors {
            let byte_range = contents.storages.range(&tensor.storage)?;
            let dtype = tensor.storage.dtype;
            let checked = tensor.view.check(tensor.storage.numel, bytes.len());
            checked.map_err(|reason| TensorError::Broken { name: name.clone(), reason })?;
            let info = TensorInfo { shape: tensor.view.shape.clone(), dtype: dtype.name().into() };
            entries.insert(name.clone(), info);
            views.insert(name, TensorView { dtype, byte_range, view: tensor.view });
        }
        Ok(Self { bytes: file, entries, views })
    }
}

impl<B: AsRef<[u8]>> TensorSource for PickleFile<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let tensor = self.views.get(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let storage = &self.bytes.as_ref()[tensor.byte_range.clone()];
        Ok(TensorData::new(tensor.dtype.gather(storage, &tensor.view), tensor.view.shape.clone()))
    }
}

/// The tensors of several files of `torch.save`, as an index lists them, under one set of names.
pub struct PickleFiles<B> {
    files: Vec<PickleFile<B>>,
    entries: BTreeMap<String, TensorInfo>,
}

impl<B: AsRef<[u8]>> PickleFiles<B> {
    /// Joins opened files.
    ///
    /// # Errors
    /// If two of them have a tensor of the same name.
    pub fn new(files: Vec<PickleFile<B>>) -> Result<Self, TensorError> {
        let mut entries = BTreeMap::new();
        for (name, entry) in files.iter().flat_map(TensorSource::entries) {
            if entries.insert(name.clone(), entry.clone()).is_some() {
                return Err(TensorError::Broken {
                    name: name.clone(),
                    reason: "duplicate: two of the files contain it".into(),
                });
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
