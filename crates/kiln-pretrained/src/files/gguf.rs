//! A GGUF file on disk: mapped into memory, and let go of tensor by tensor.

use super::{LoadedModel, error::LoadError, mmap::MappedFile};
use crate::gguf::{self, ExportError, GgufExport, GgufReader, GgufTokenizer, Metadata};
use burn::tensor::{Device, TensorData};
use kiln_kernels::packed::PackedMatrix;
use kiln_models::{
    hf,
    tensors::{TensorError, TensorInfo, TensorSource},
};
use kiln_spec::ValidationError;
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
    file: GgufReader<MappedFile>,
}

impl GgufFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it can't be read, or is no GGUF file that Kiln reads.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let map = MappedFile::open(path).map_err(LoadError::io(path))?;
        let file = GgufReader::open(map);
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
    pub fn tokenizer(&self) -> Result<Option<GgufTokenizer>, LoadError> {
        GgufTokenizer::read(self.metadata()).map_err(|refusal| self.config_error(refusal))
    }

    /// The model in it.
    ///
    /// # Errors
    /// If the architecture or an option of it is unknown, or the tensors aren't the model's.
    pub fn load(&self, device: &Device) -> Result<LoadedModel, LoadError> {
        let refused = |refusal| self.config_error(refusal);
        let (config_json, tensors) = gguf::read_as_hf(self.metadata(), self).map_err(refused)?;
        let (family, config) = hf::read_config(&config_json).map_err(refused)?;
        let model = hf::load_model(&config, family, &tensors, device);
        let model = model.map_err(|source| LoadError::Weights { folder: self.path.clone(), source })?;
        Ok(LoadedModel { model, family, config_json, generation_config: None })
    }

    /// The pages of this tensor aren't needed any more.
    fn release_pages(&self, name: &str) {
        if let Some(range) = self.file.byte_range(name) {
            self.file.bytes().release_pages(range);
        }
    }

    fn config_error(&self, refusal: ValidationError) -> LoadError {
        LoadError::Config { file: self.path.clone(), error: refusal }
    }
}

impl TensorSource for GgufFile {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        self.file.entries()
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let read = self.file.read(name)?;
        self.release_pages(name);
        Ok(read)
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let packed = TensorSource::read_packed(&self.file, name)?;
        self.release_pages(name);
        Some(packed)
    }
}

/// Writes a model; the file appears whole or not at all.
///
/// # Errors
/// As [`Export::write`].
pub fn save_gguf(path: &Path, export: &GgufExport) -> Result<(), ExportError> {
    super::save::write_atomically(path, |beside| write_file(beside, export), ExportError::from)
}

fn write_file(path: &Path, export: &GgufExport) -> Result<(), ExportError> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    export.write(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().sync_all()?)
}
