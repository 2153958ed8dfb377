//! Tensors of `.safetensors` files, in their own type or converted to f32 when they are read.
//!
//! Format: <https://huggingface.co/docs/safetensors>: 8 bytes of header length, a JSON header, the tensors' bytes.

use super::{LoadError, ModelBytes};
use burn::tensor::{TensorData, bf16, f16};
use kiln_kernels::{
    cpu::rows::copied_bytes,
    packed::{GgmlType, PackedMatrix},
};
use kiln_models::tensors::{StoredTensor, TensorError, TensorInfo, TensorSource, float_type};
use safetensors::{Dtype, SafeTensors};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

/// The tensors of one safetensors file, or of several shards.
///
/// Opening reads the headers and checks them against the lengths of the files. [`read`](TensorSource::read) converts F16, BF16
/// and F64 to f32 and then [releases](ModelBytes::release) the tensor's bytes; [`read_stored`](TensorSource::read_stored) borrows them.
#[derive(Debug)]
pub struct SafeTensorsFiles<B> {
    files: Vec<B>,
    locations: BTreeMap<String, TensorLocation>,
    entries: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, Debug)]
struct TensorLocation {
    file_index: usize,
    byte_range: Range<usize>,
    dtype: Dtype,
}

#[cfg(feature = "files")]
impl SafeTensorsFiles<super::MappedFile> {
    /// Maps and opens files.
    ///
    /// # Errors
    /// If a file cannot be read or is not a safetensors file, or two files have a tensor of the same name.
    pub fn open(paths: &[PathBuf]) -> Result<Self, LoadError> {
        let map = |path: &PathBuf| {
            let mapped = super::MappedFile::open(path).map_err(LoadError::io(path))?;
            Ok((path.clone(), mapped))
        };
        Self::from_bytes(paths.iter().map(map).collect::<Result<Vec<_>, LoadError>>()?)
    }
}

impl<B: ModelBytes> SafeTensorsFiles<B> {
    /// Opens the bytes of files, each with its location for error messages.
    ///
    /// # Errors
    /// If bytes are not a safetensors file, or two files have a tensor of the same name.
    pub fn from_bytes(files: impl IntoIterator<Item = (PathBuf, B)>) -> Result<Self, LoadError> {
        let mut all = Self { files: Vec::new(), locations: BTreeMap::new(), entries: BTreeMap::new() };
        for (location, file) in files {
            all.add_file(&location, file)?;
        }
        Ok(all)
    }

    /// Adds the tensors of one file. Their byte ranges count from the beginning of the file.
    fn add_file(&mut self, path: &Path, file: B) -> Result<(), LoadError> {
        let bytes = file.as_ref();
        let tensors = SafeTensors::deserialize(bytes).map_err(LoadError::broken(path, "a safetensors file"))?;
        for (name, view) in tensors.iter() {
            let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let location = TensorLocation {
                file_index: self.files.len(),
                byte_range: start..start + view.data().len(),
                dtype: view.dtype(),
            };
            let entry = TensorInfo { shape: view.shape().to_vec(), dtype: view.dtype().to_string() };
            if self.entries.insert(name.to_owned(), entry).is_some() {
                let reason = format!("duplicate tensor `{name}`: another file contains it too");
                return Err(LoadError::Broken { file: path.into(), reason });
            }
            self.locations.insert(name.to_owned(), location);
        }
        self.files.push(file);
        Ok(())
    }
}

impl<B: ModelBytes> TensorSource for SafeTensorsFiles<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (bytes, dtype, entry) = self.stored(name).ok_or_else(|| TensorError::NotFound(name.into()))?;
        let values = decode_f32(bytes, dtype).ok_or_else(|| TensorError::Broken {
            name: name.into(),
            reason: format!("stored as {}; Kiln reads F32, F16, BF16 and F64", entry.dtype),
        })?;
        self.release(name);
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        let little_endian = self.stored(name).filter(|_| cfg!(target_endian = "little"));
        match little_endian.and_then(|(bytes, _, entry)| Some((bytes, entry, float_type(&entry.dtype)?))) {
            Some((bytes, entry, dtype)) => Ok(StoredTensor::Borrowed { bytes, shape: &entry.shape, dtype }),
            None => self.read(name).map(StoredTensor::Owned),
        }
    }

    fn read_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.stored(name).map(|(bytes, ..)| bytes.into())
    }

    fn release(&self, name: &str) {
        if let Some(location) = self.locations.get(name) {
            self.files[location.file_index].release(location.byte_range.clone());
        }
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let (bytes, _, entry) = self.stored(name)?;
        let [outer @ .., columns] = &entry.shape[..] else { return None };
        let (rows, columns) = (outer.iter().product(), *columns);
        let packing = GgmlType::from_name(&entry.dtype).filter(|packing| packing.has_mat_vec())?;
        let packed = PackedMatrix::new(packing, [rows, columns], copied_bytes(bytes).into());
        self.release(name);
        packed
    }
}

impl<B: ModelBytes> SafeTensorsFiles<B> {
    /// Bytes, type and description of a tensor.
    fn stored(&self, name: &str) -> Option<(&[u8], Dtype, &TensorInfo)> {
        let (location, entry) = (self.locations.get(name)?, self.entries.get(name)?);
        Some((&self.files[location.file_index].as_ref()[location.byte_range.clone()], location.dtype, entry))
    }
}

/// The values of little-endian floats as f32; `None` for other types.
fn decode_f32(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}
