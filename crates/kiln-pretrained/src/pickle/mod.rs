//! Weights as `torch.save` writes them (`pytorch_model.bin`, `.pt`), read without running anything of the file.
//!
//! A pickle is a program for a small stack machine. Ours knows the operations that data needs and the few names from
//! which tensors are built; whatever else a file asks for is refused by its name. Nothing that a file claims is
//! believed before it is held against the bytes that are there, and nothing is kept whose size isn't bounded by theirs.

mod cursor;
mod error;
mod files;
mod global;
mod legacy;
mod object;
mod state_dict;
mod storage;
mod strided;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unpickler;
mod zip_archive;

pub use error::PickleError;
pub use files::PickleFiles;

use burn::tensor::TensorData;
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource};
use std::{collections::BTreeMap, ops::Range};
use storage::{Storage, StorageDtype};
use strided::StridedView;
use zip_archive::ZipArchive;

/// A tensor: a view of a storage, checked to lie within it.
struct TensorView {
    dtype: StorageDtype,
    byte_range: Range<usize>,
    view: StridedView,
}

/// The tensors of a file that `torch.save` wrote, by their names in its dictionary. Nested dictionaries join their
/// keys by dots; of a training checkpoint it is the `state_dict`, `model_state_dict`, `model` or `module` that counts.
///
/// `B` holds the file: a vector, a slice or a memory map.
pub struct PickleFile<B> {
    file: B,
    entries: BTreeMap<String, TensorInfo>,
    views: BTreeMap<String, TensorView>,
}

impl<B: AsRef<[u8]>> PickleFile<B> {
    /// Opens a file: reads its pickle and checks all that it says of tensors; reads no numbers.
    ///
    /// # Errors
    /// If it isn't such a file, asks for anything but tensors and plain data, or contradicts itself.
    pub fn open(file: B) -> Result<Self, PickleError> {
        let bytes = file.as_ref();
        let (named, places) = if ZipArchive::is_zip(bytes) { open_zip(bytes)? } else { legacy::open(bytes)? };
        let mut views = BTreeMap::new();
        for (name, tensor) in named {
            let range = places.range(&tensor.storage)?;
            let checked = tensor.view.check(tensor.storage.numel, bytes.len());
            checked.map_err(|reason| TensorError::Broken { name: name.clone(), reason })?;
            views.insert(name, TensorView { dtype: tensor.storage.dtype, byte_range: range, view: tensor.view });
        }
        let entry = |view: &TensorView| TensorInfo { shape: view.view.shape.clone(), dtype: view.dtype.name().into() };
        let entries = views.iter().map(|(name, view)| (name.clone(), entry(view))).collect();
        Ok(Self { file, entries, views })
    }
}

impl<B: AsRef<[u8]>> TensorSource for PickleFile<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let view = self.views.get(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let numbers = view.dtype.gather(&self.file.as_ref()[view.byte_range.clone()], &view.view);
        Ok(TensorData::new(numbers, view.view.shape.clone()))
    }
}

/// Where storages lie in a file, by key.
struct StorageRanges(BTreeMap<String, Range<usize>>);

impl StorageRanges {
    fn range(&self, storage: &Storage) -> Result<Range<usize>, PickleError> {
        let claimed = storage.numel.checked_mul(storage.dtype.itemsize());
        match self.0.get(storage.key) {
            Some(range) if Some(range.len()) == claimed => Ok(range.clone()),
            Some(range) => Err(PickleError::Storage {
                key: storage.key.into(),
                reason: format!("holds {} bytes, not {} × {}", range.len(), storage.numel, storage.dtype.name()),
            }),
            None => Err(PickleError::Storage { key: storage.key.into(), reason: "is not in the file".into() }),
        }
    }
}

type ParsedFile<'a> = (BTreeMap<String, object::PickledTensor<'a>>, StorageRanges);

fn open_zip(bytes: &[u8]) -> Result<ParsedFile<'_>, PickleError> {
    let archive = ZipArchive::open(bytes)?;
    let (folder, pickle) = archive.find_pickle()?;
    if archive.get(&format!("{folder}byteorder")).is_some_and(|range| &bytes[range] != b"little") {
        return Err(PickleError::not_torch_save("its numbers are not little-endian"));
    }
    let ran = unpickler::run(&bytes[pickle])?;
    Ok((state_dict::named_tensors(&ran)?, StorageRanges(archive.entries_under(&format!("{folder}data/")))))
}
