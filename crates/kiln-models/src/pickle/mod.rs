//! Weights as `torch.save` writes them (`pytorch_model.bin`, `.pt`), read without running anything of the file.
//!
//! A pickle is a program for a small stack machine. Ours knows the operations that data needs and the few names from
//! which tensors are built; whatever else a file asks for is refused by its name. Nothing that a file claims is
//! believed before it is held against the bytes that are there, and nothing is kept whose size isn't bounded by theirs.

mod archive;
mod bytes;
mod error;
mod global;
mod legacy;
mod machine;
mod object;
mod several;
mod state;
mod storage;
mod strided;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::PickleError;
pub use several::Pickles;

use crate::tensors::{Entry, TensorError, Tensors};
use archive::Archive;
use burn::tensor::TensorData;
use std::{collections::BTreeMap, ops::Range};
use storage::{Kind, Storage};
use strided::Strided;

/// A tensor: a view of a storage, checked to lie within it.
struct View {
    kind: Kind,
    bytes: Range<usize>,
    strided: Strided,
}

/// The tensors of a file that `torch.save` wrote, by their names in its dictionary. Nested dictionaries join their
/// keys by dots; of a training checkpoint it is the `state_dict`, `model_state_dict`, `model` or `module` that counts.
///
/// `B` holds the file: a vector, a slice or a memory map.
pub struct Pickle<B> {
    file: B,
    entries: BTreeMap<String, Entry>,
    views: BTreeMap<String, View>,
}

impl<B: AsRef<[u8]>> Pickle<B> {
    /// Opens a file: reads its pickle and checks all that it says of tensors; reads no numbers.
    ///
    /// # Errors
    /// If it isn't such a file, asks for anything but tensors and plain data, or contradicts itself.
    pub fn open(file: B) -> Result<Self, PickleError> {
        let bytes = file.as_ref();
        let (named, places) = if Archive::starts(bytes) { zipped(bytes)? } else { legacy::open(bytes)? };
        let mut views = BTreeMap::new();
        for (name, tensor) in named {
            let range = places.range(&tensor.storage)?;
            let checked = tensor.strided.check(tensor.storage.numel, bytes.len());
            checked.map_err(|reason| TensorError::Broken { name: name.clone(), reason })?;
            views.insert(name, View { kind: tensor.storage.kind, bytes: range, strided: tensor.strided });
        }
        let entry = |view: &View| Entry { shape: view.strided.shape.clone(), stored: view.kind.name().into() };
        let entries = views.iter().map(|(name, view)| (name.clone(), entry(view))).collect();
        Ok(Self { file, entries, views })
    }
}

impl<B: AsRef<[u8]>> Tensors for Pickle<B> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let view = self.views.get(name).ok_or_else(|| TensorError::Unknown(name.into()))?;
        let numbers = view.kind.gather(&self.file.as_ref()[view.bytes.clone()], &view.strided);
        Ok(TensorData::new(numbers, view.strided.shape.clone()))
    }
}

/// Where storages lie in a file, by key.
struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    fn range(&self, storage: &Storage) -> Result<Range<usize>, PickleError> {
        let claimed = storage.numel.checked_mul(storage.kind.size());
        match self.0.get(storage.key) {
            Some(range) if Some(range.len()) == claimed => Ok(range.clone()),
            Some(range) => Err(PickleError::Storage {
                key: storage.key.into(),
                reason: format!("holds {} bytes, not {} × {}", range.len(), storage.numel, storage.kind.name()),
            }),
            None => Err(PickleError::Storage { key: storage.key.into(), reason: "is not in the file".into() }),
        }
    }
}

type Opened<'a> = (BTreeMap<String, object::Tensor<'a>>, Places);

fn zipped(bytes: &[u8]) -> Result<Opened<'_>, PickleError> {
    let archive = Archive::open(bytes)?;
    let (folder, pickle) = archive.pickle()?;
    if archive.get(&format!("{folder}byteorder")).is_some_and(|range| &bytes[range] != b"little") {
        return Err(PickleError::form("its numbers are not little-endian"));
    }
    let ran = machine::run(&bytes[pickle])?;
    Ok((state::tensors(&ran)?, Places(archive.below(&format!("{folder}data/")))))
}
