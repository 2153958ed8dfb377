//! A GGUF file on disk: mapped into memory, and let go of tensor by tensor.

use super::{Loaded, error::LoadError, map::Map};
use crate::{
    gguf::{self, Carried, Export, ExportError, File, Metadata},
    hf,
    tensors::{Entry, TensorError, Tensors},
};
use burn::tensor::{Device, TensorData};
use kiln_kernels::packed::PackedMatrix;
use kiln_spec::Refusal;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// An opened file: its header is read and checked, its numbers are not.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    file: File<Map>,
}

impl GgufFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it can't be read, or is no GGUF file that Kiln reads.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let map = Map::open(path).map_err(LoadError::io(path))?;
        let file = File::open(map);
        let file = file.map_err(|error| LoadError::Broken { file: path.into(), reason: error.to_string() })?;
        Ok(Self { path: path.into(), file })
    }

    /// What it says of itself.
    pub fn metadata(&self) -> &Metadata {
        self.file.metadata()
    }

    /// The tokenizer that it carries, if it does.
    ///
    /// # Errors
    /// If its lists don't fit together.
    pub fn tokenizer(&self) -> Result<Option<Carried>, LoadError> {
        Carried::read(self.metadata()).map_err(|refusal| self.refused(refusal))
    }

    /// The model in it.
    ///
    /// # Errors
    /// If the architecture or an option of it is unknown, or the tensors aren't the model's.
    pub fn load(&self, device: &Device) -> Result<Loaded, LoadError> {
        let refused = |refusal| self.refused(refusal);
        let (config_json, tensors) = gguf::read(self.metadata(), self).map_err(refused)?;
        let (family, config) = hf::read(&config_json).map_err(refused)?;
        let model = hf::assemble(&config, family, &tensors, device);
        let model = model.map_err(|source| LoadError::Weights { folder: self.path.clone(), source })?;
        Ok(Loaded { model, family, config_json, generation: None })
    }

    /// The pages of this tensor aren't needed any more.
    fn forget(&self, name: &str) {
        if let Some(range) = self.file.range(name) {
            self.file.bytes().forget(range);
        }
    }

    fn refused(&self, refusal: Refusal) -> LoadError {
        LoadError::Config { file: self.path.clone(), refusal }
    }
}

impl Tensors for GgufFile {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        self.file.entries()
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let read = self.file.read(name)?;
        self.forget(name);
        Ok(read)
    }

    fn packed(&self, name: &str) -> Option<PackedMatrix> {
        let packed = Tensors::packed(&self.file, name)?;
        self.forget(name);
        Some(packed)
    }
}

/// Writes a model; the file appears whole or not at all.
///
/// # Errors
/// As [`Export::write`].
pub fn save_gguf(path: &Path, export: &Export) -> Result<(), ExportError> {
    super::save::whole(path, |beside| write(beside, export), ExportError::from)
}

fn write(path: &Path, export: &Export) -> Result<(), ExportError> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    export.write(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().sync_all()?)
}
