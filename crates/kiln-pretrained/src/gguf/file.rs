//! A model in GGUF format: weights, tokenizer and chat template.

use super::{
    GgufModel, Metadata,
    parts::{GgufParts, Part},
    read_model, read_tokenizer,
    sampling::read_sampling,
};
use crate::{
    PretrainedError, PretrainedModel,
    files::{LoadError, ModelBytes},
};
use burn::tensor::{Device, TensorData};
use kiln_data::{ChatTemplate, Tokenizer, tokenizer::GgufTokenizer};
use kiln_kernels::packed::PackedMatrix;
use kiln_models::{
    DtypeSummary, ModelConfig, WeightPrecision,
    hf::{self, Family},
    tensors::{StoredTensor, TensorError, TensorInfo, TensorSource},
};
use kiln_nn::head::Pooling;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// An opened model in GGUF format, on disk (`B` = `MappedFile`) or in memory: one file, or all parts of a split model. Headers
/// are read and checked, tensors are not.
#[derive(Debug)]
pub struct GgufFile<B> {
    location: PathBuf,
    parts: GgufParts<B>,
    tokenizer: Option<GgufTokenizer>,
}

#[cfg(feature = "files")]
impl GgufFile<crate::files::MappedFile> {
    /// Maps and opens a file. If it is a part of a split model (`NAME-00001-of-00003.gguf`), the other parts are opened too.
    ///
    /// # Errors
    /// If a file cannot be read, is not a GGUF file that Kiln reads, or is a part without the others.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::new(path, super::part_files::open_parts(path)?)
    }
}

impl<B: ModelBytes> GgufFile<B> {
    /// Opens the bytes of a file. `location` names the file in error messages.
    ///
    /// # Errors
    /// If the bytes are not a GGUF file that Kiln reads, or the parts of its tokenizer contradict each other.
    pub fn from_bytes(location: &Path, bytes: B) -> Result<Self, LoadError> {
        Self::from_parts([(location, bytes)])
    }

    /// Opens the bytes of all files of a model, in any order, each with its location for error messages.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and if the files are not all parts of one model.
    pub fn from_parts<'p>(parts: impl IntoIterator<Item = (&'p Path, B)>) -> Result<Self, LoadError> {
        let parts = parts.into_iter().map(|(location, bytes)| Part::open(location, bytes));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let location = parts.first().map(|part| part.location.clone()).unwrap_or_default();
        Self::new(&location, parts)
    }

    fn new(location: &Path, parts: Vec<Part<B>>) -> Result<Self, LoadError> {
        let parts = GgufParts::new(parts)?;
        let tokenizer = read_tokenizer(parts.metadata());
        let tokenizer = tokenizer.map_err(|error| LoadError::Config { file: location.into(), error })?;
        Ok(Self { location: location.into(), parts, tokenizer })
    }

    /// The path of the file, or of the part that was opened.
    pub fn path(&self) -> &Path {
        &self.location
    }

    /// The metadata of the file.
    pub fn metadata(&self) -> &Metadata {
        self.parts.metadata()
    }

    /// The tokenizer of the file as data; `None` if the file has none.
    pub fn tokenizer_metadata(&self) -> Option<&GgufTokenizer> {
        self.tokenizer.as_ref()
    }

    /// Returns the model's family and its configuration.
    ///
    /// # Errors
    /// If the architecture or an option of it is not supported.
    pub fn config(&self) -> Result<(&'static Family, ModelConfig), LoadError> {
        let model = read_model(self.metadata(), self).map_err(|error| self.config_error(error))?;
        Ok((model.family, model.config))
    }

    /// Loads the model onto `device`, one tensor at a time.
    ///
    /// # Errors
    /// If the architecture or an option of it is not supported, or the tensors do not fit the metadata.
    pub fn load(&self, device: &Device) -> Result<PretrainedModel, LoadError> {
        self.load_as(device, WeightPrecision::default_on(device))
    }

    /// Loads the model onto `device`, its weights held as `precision` says, one tensor at a time.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if a value can't be represented in the type.
    pub fn load_as(&self, device: &Device, precision: WeightPrecision) -> Result<PretrainedModel, LoadError> {
        let found = read_model(self.metadata(), self).and_then(|model| Ok((model.family.in_gguf()?, model)));
        let (names, GgufModel { family, config, config_json }) = found.map_err(|error| self.config_error(error))?;
        let model = hf::load_model_as(&config, &names, self, device, precision)
            .map_err(|source| LoadError::Weights { folder: self.location.clone(), source })?;
        Ok(PretrainedModel { model, family, config_json, generation_config: self.generation_config() })
    }

    /// Returns how the tensors are stored, most values first.
    pub fn dtypes(&self) -> Vec<DtypeSummary> {
        DtypeSummary::summarize(self.entries())
    }

    /// Builds the tokenizer of the file.
    ///
    /// # Errors
    /// If the file has no tokenizer, or one of a kind that is not supported.
    pub fn tokenizer(&self) -> Result<Tokenizer, PretrainedError> {
        let metadata = self.tokenizer.as_ref();
        let metadata = metadata.ok_or_else(|| PretrainedError::NoTokenizer(self.location.clone()))?;
        Ok(metadata.to_tokenizer()?)
    }

    /// Returns the chat template of the file; `None` if the file has none.
    ///
    /// # Errors
    /// If the template is not valid.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, PretrainedError> {
        let Some(metadata) = &self.tokenizer else { return Ok(None) };
        let Some(template) = &metadata.chat_template else { return Ok(None) };
        let roles = &metadata.roles;
        let named_ids = [
            ("bos_token", roles.bos),
            ("eos_token", roles.eos),
            ("pad_token", roles.pad),
            ("mask_token", roles.mask),
            ("unk_token", roles.unk),
            ("sep_token", roles.sep),
            ("cls_token", roles.cls),
        ];
        let mut constants = Map::new();
        for (name, id) in named_ids {
            if let Some(token) = id.and_then(|id| metadata.tokens.get(id as usize)) {
                constants.insert(name.into(), Value::from(token.as_str()));
            }
        }
        Ok(Some(ChatTemplate::new(template, constants)?))
    }

    /// Returns the ids of the tokens that end a text: end of sequence, of turn (`eot`) and of message (`eom`).
    pub fn stop_token_ids(&self) -> Vec<u32> {
        let Some(metadata) = &self.tokenizer else { return Vec::new() };
        let end_of_turn = ["eot", "eom"].iter().filter_map(|role| metadata.other_token_ids.get(*role).copied());
        metadata.roles.eos.into_iter().chain(end_of_turn).collect()
    }

    /// Returns the sampling settings of the file (`general.sampling.*`) in the form of a `generation_config.json`; `None` if
    /// it has none.
    pub fn generation_config(&self) -> Option<Value> {
        read_sampling(self.metadata())
    }

    /// Returns how an encoder pools its vectors (`ARCHITECTURE.pooling_type`); `None` if the file does not say.
    ///
    /// # Errors
    /// If the value is not 0 (none), 1 (mean), 2 (first) or 3 (last).
    pub fn pooling(&self) -> Result<Option<Pooling>, PretrainedError> {
        let unsupported = |error| PretrainedError::Unsupported { file: self.location.clone(), error };
        let metadata = self.metadata();
        let architecture = metadata.string("general.architecture").map_err(unsupported)?.unwrap_or_default();
        let key = format!("{architecture}.pooling_type");
        match metadata.integer(&key).map_err(unsupported)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Pooling::Mean)),
            Some(2) => Ok(Some(Pooling::First)),
            Some(3) => Ok(Some(Pooling::Last)),
            Some(other) => {
                let reason = format!("expected 1 (mean), 2 (first) or 3 (last), found {other}");
                Err(unsupported(ValidationError::new(key, reason)))
            }
        }
    }

    fn config_error(&self, error: ValidationError) -> LoadError {
        LoadError::Config { file: self.location.clone(), error }
    }
}

impl<B: ModelBytes> TensorSource for GgufFile<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        self.parts.entries()
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        self.parts.read(name)
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        self.parts.read_stored(name)
    }

    fn release(&self, name: &str) {
        self.parts.release(name);
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        self.parts.read_packed(name)
    }
}
