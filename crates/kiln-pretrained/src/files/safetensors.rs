//! Tensors of `.safetensors` files, converted to f32 where they are asked for.

use super::{error::LoadError, mmap::MappedFile};
use burn::tensor::{TensorData, bf16, f16};
use kiln_kernels::packed::{GgmlType, PackedMatrix};
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

/// One file or several.
#[derive(Debug, Default)]
pub struct SafeTensorsFiles {
    maps: Vec<MappedFile>,
    locations: BTreeMap<String, TensorLocation>,
    entries: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, Debug)]
struct TensorLocation {
    file_index: usize,
    byte_range: Range<usize>,
    dtype: Dtype,
}

impl SafeTensorsFiles {
    /// Opens files; their headers are read and checked against their lengths, their numbers are not.
    ///
    /// # Errors
    /// If one can't be read, or a name is in two of them.
    pub fn open(files: &[PathBuf]) -> Result<Self, LoadError> {
        let mut all = Self::default();
        for file in files {
            all.add_file(file)?;
        }
        Ok(all)
    }

    fn add_file(&mut self, file: &Path) -> Result<(), LoadError> {
        let map = MappedFile::open(file).map_err(LoadError::io(file))?;
        let bytes = map.bytes();
        let tensors = SafeTensors::deserialize(bytes).map_err(LoadError::broken(file, "a safetensors file"))?;
        for (name, view) in tensors.iter() {
            let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let place = TensorLocation {
                file_index: self.maps.len(),
                byte_range: start..start + view.data().len(),
                dtype: view.dtype(),
            };
            let entry = TensorInfo { shape: view.shape().to_vec(), dtype: view.dtype().to_string() };
            if self.entries.insert(name.to_owned(), entry).is_some() {
                let reason = format!("`{name}` is in another file too");
                return Err(LoadError::Broken { file: file.into(), reason });
            }
            self.locations.insert(name.to_owned(), place);
        }
        self.maps.push(map);
        Ok(())
    }
}

impl TensorSource for SafeTensorsFiles {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (Some(place), Some(entry)) = (self.locations.get(name), self.entries.get(name)) else {
            return Err(TensorError::NotFound(name.into()));
        };
        let map = &self.maps[place.file_index];
        let values =
            decode_f32(&map.bytes()[place.byte_range.clone()], place.dtype).ok_or_else(|| TensorError::Broken {
                name: name.into(),
                reason: format!("stored as {}; Kiln reads F32, F16, BF16 and F64", entry.dtype),
            })?;
        map.release_pages(place.byte_range.clone());
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let (place, entry) = (self.locations.get(name)?, self.entries.get(name)?);
        let [rows, columns] = entry.shape[..] else { return None };
        let packing = GgmlType::from_name(&entry.dtype).filter(|packing| packing.has_mat_vec())?;
        let map = &self.maps[place.file_index];
        let packed = PackedMatrix::new(packing, [rows, columns], map.bytes()[place.byte_range.clone()].into());
        map.release_pages(place.byte_range.clone());
        packed
    }
}

fn decode_f32(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}
