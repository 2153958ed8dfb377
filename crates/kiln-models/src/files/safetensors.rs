//! Tensors of `.safetensors` files, converted to f32 where they are asked for.

use super::{error::LoadError, map::Map};
use crate::tensors::{Entry, TensorError, Tensors};
use burn::tensor::{TensorData, bf16, f16};
use kiln_kernels::packed::{PackedMatrix, Packing};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

/// One file or several.
#[derive(Debug, Default)]
pub struct SafeTensorsFiles {
    maps: Vec<Map>,
    places: BTreeMap<String, Place>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Place {
    map: usize,
    bytes: Range<usize>,
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
            all.add(file)?;
        }
        Ok(all)
    }

    fn add(&mut self, file: &Path) -> Result<(), LoadError> {
        let map = Map::open(file).map_err(LoadError::io(file))?;
        let bytes = map.bytes();
        let tensors = SafeTensors::deserialize(bytes).map_err(LoadError::broken(file, "a safetensors file"))?;
        for (name, view) in tensors.iter() {
            let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let place = Place { map: self.maps.len(), bytes: start..start + view.data().len(), dtype: view.dtype() };
            let entry = Entry { shape: view.shape().to_vec(), stored: view.dtype().to_string() };
            if self.entries.insert(name.to_owned(), entry).is_some() {
                let reason = format!("`{name}` is in another file too");
                return Err(LoadError::Broken { file: file.into(), reason });
            }
            self.places.insert(name.to_owned(), place);
        }
        self.maps.push(map);
        Ok(())
    }
}

impl Tensors for SafeTensorsFiles {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (Some(place), Some(entry)) = (self.places.get(name), self.entries.get(name)) else {
            return Err(TensorError::Unknown(name.into()));
        };
        let map = &self.maps[place.map];
        let values = floats(&map.bytes()[place.bytes.clone()], place.dtype).ok_or_else(|| TensorError::Broken {
            name: name.into(),
            reason: format!("stored as {}; Kiln reads F32, F16, BF16 and F64", entry.stored),
        })?;
        map.forget(place.bytes.clone());
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn packed(&self, name: &str) -> Option<PackedMatrix> {
        let (place, entry) = (self.places.get(name)?, self.entries.get(name)?);
        let [rows, columns] = entry.shape[..] else { return None };
        let packing = Packing::named(&entry.stored).filter(|packing| packing.multiplies())?;
        let map = &self.maps[place.map];
        let packed = PackedMatrix::new(packing, [rows, columns], map.bytes()[place.bytes.clone()].into());
        map.forget(place.bytes.clone());
        packed
    }
}

fn floats(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}
