//! [`PretrainedSource`]: an opened model on disk, whose parts can be read one by one.

use crate::{
    ModelLocation, Pretrained, PretrainedError, PretrainedModel,
    files::{self, MappedFile, ModelFolder},
    generation::settings_of_model_config,
    gguf::GgufFile,
    location,
    peft_format::{self, PeftFormatError},
    sentence::SentenceConfig,
};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, Tokenizer, file_set::read_json, tokenizer::pretrained};
use kiln_models::{
    DtypeSummary, Model, ModelConfig, WeightPrecision,
    hf::{
        Family,
        sentence_transformers::{self, PoolingOptions},
    },
};
use kiln_nn::head::{EmbeddingHeadConfig, Pooling};
use kiln_peft::merge;
use std::path::{Path, PathBuf};

/// A model on disk with the adapter folders over it. Opening reads the header of a GGUF file and nothing of a folder.
///
/// The methods read single parts, so that a program can look at a model before it loads the weights:
///
/// ```no_run
/// use kiln_pretrained::PretrainedSource;
///
/// let source = PretrainedSource::open("models/SmolLM2-135M-Instruct".as_ref())?;
/// println!("{}: hidden size {}", source.family()?.name, source.config()?.hidden);
/// for dtype in source.dtypes()? {
///     println!("{} tensors as {}", dtype.num_tensors, dtype.dtype);
/// }
/// # Ok::<(), kiln_pretrained::PretrainedError>(())
/// ```
#[derive(Debug)]
pub struct PretrainedSource {
    base: BaseFiles,
    adapters: Vec<PathBuf>,
}

/// The files of a base model.
#[derive(Debug)]
pub enum BaseFiles {
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(Box<GgufFile<MappedFile>>),
}

impl PretrainedSource {
    /// Opens what `source` names: a path, or with the feature `hub` a name on the hub, which is downloaded as
    /// [`Hub::from_env`](crate::hub::Hub::from_env) says.
    ///
    /// # Errors
    /// If there is no model, it cannot be downloaded, or a GGUF file is damaged.
    pub fn open(source: &Path) -> Result<Self, PretrainedError> {
        #[cfg(feature = "hub")]
        let location = ModelLocation::resolve(source, &mut |name| {
            Ok(crate::hub::Hub::from_env().fetch_by_name(name, &mut |_| ())?)
        });
        #[cfg(not(feature = "hub"))]
        let location = ModelLocation::on_disk(source);
        Self::at(location?)
    }

    /// Opens the files at a location.
    ///
    /// # Errors
    /// If the base is not a model, or a damaged GGUF file.
    pub fn at(location: ModelLocation) -> Result<Self, PretrainedError> {
        let ModelLocation { base, adapters } = location;
        if base.join(files::CONFIG_FILE).is_file() {
            return Ok(Self { base: BaseFiles::Folder(base), adapters });
        }
        if base.extension().is_some_and(|ending| ending == "gguf") && base.is_file() {
            return Ok(Self { base: BaseFiles::Gguf(Box::new(GgufFile::open(&base)?)), adapters });
        }
        let found = location::describe_path(&base);
        Err(PretrainedError::NotFound { path: base, found })
    }

    /// Adds an adapter folder, applied after those already listed. When the model is loaded, all earlier adapters are merged
    /// into its weights; those of the last folder stay attached.
    #[must_use]
    pub fn with_adapter(mut self, folder: &Path) -> Self {
        self.adapters.push(folder.to_owned());
        self
    }

    /// Removes the adapter folder that is applied last, and returns it.
    pub fn pop_adapter(&mut self) -> Option<PathBuf> {
        self.adapters.pop()
    }

    /// The adapter folders, in the order in which they are applied.
    pub fn adapters(&self) -> &[PathBuf] {
        &self.adapters
    }

    /// The files of the base model.
    pub fn base(&self) -> &BaseFiles {
        &self.base
    }

    /// The path of the base model.
    pub fn base_path(&self) -> &Path {
        match &self.base {
            BaseFiles::Folder(path) => path,
            BaseFiles::Gguf(file) => file.path(),
        }
    }

    /// The path that names the model: the last adapter folder, else the base model.
    pub fn path(&self) -> &Path {
        self.adapters.last().map_or(self.base_path(), PathBuf::as_path)
    }

    /// Loads model, tokenizer, chat template and generation settings.
    ///
    /// # Errors
    /// If the model or an option of it is not supported, a file is damaged, or model and tokenizer do not fit.
    pub fn load(&self, device: &Device) -> Result<Pretrained, PretrainedError> {
        self.load_as(device, WeightPrecision::default_on(device))
    }

    /// [`load`](Self::load) with the weights of the base model held as `precision` says.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if a value can't be represented in the type.
    pub fn load_as(&self, device: &Device, precision: WeightPrecision) -> Result<Pretrained, PretrainedError> {
        let mut pretrained = match &self.base {
            BaseFiles::Folder(path) => Pretrained::from_files(path.as_path(), device, precision)?,
            BaseFiles::Gguf(file) => Pretrained::from_gguf(file, device, precision)?,
        };
        if !self.adapters.is_empty() {
            pretrained.model = apply_adapters(pretrained.model, Some(self.family()?), &self.adapters)?;
            if let Some(template) = adapter_chat_template(&self.adapters)? {
                pretrained.chat_template = Some(template);
                pretrained.chat_template_error = None;
            }
        }
        Ok(pretrained)
    }

    /// Loads the model without its tokenizer.
    ///
    /// # Errors
    /// If the model or an option of it is not supported, or a file is damaged.
    pub fn load_model(&self, device: &Device) -> Result<PretrainedModel, PretrainedError> {
        self.load_model_as(device, WeightPrecision::default_on(device))
    }

    /// [`load_model`](Self::load_model) with the weights of the base model held as `precision` says.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if a value can't be represented in the type.
    pub fn load_model_as(
        &self,
        device: &Device,
        precision: WeightPrecision,
    ) -> Result<PretrainedModel, PretrainedError> {
        let loaded = match &self.base {
            BaseFiles::Folder(path) => ModelFolder::open(path)?.load_as(device, precision)?,
            BaseFiles::Gguf(file) => file.load_as(device, precision)?,
        };
        let model = apply_adapters(loaded.model, Some(loaded.family), &self.adapters)?;
        Ok(PretrainedModel { model, ..loaded })
    }

    /// Returns the configuration of the base model. Weights are not read.
    ///
    /// # Errors
    /// If the model or an option of it is not supported, or a file is damaged.
    pub fn config(&self) -> Result<ModelConfig, PretrainedError> {
        Ok(self.family_and_config()?.1)
    }

    /// Returns the family of the base model.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    pub fn family(&self) -> Result<&'static Family, PretrainedError> {
        Ok(self.family_and_config()?.0)
    }

    fn family_and_config(&self) -> Result<(&'static Family, ModelConfig), PretrainedError> {
        Ok(match &self.base {
            BaseFiles::Folder(path) => ModelFolder::open(path)?.config()?,
            BaseFiles::Gguf(file) => file.config()?,
        })
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn tokenizer(&self) -> Result<Tokenizer, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => Ok(pretrained::from_folder(path)?),
            BaseFiles::Gguf(file) => file.tokenizer(),
        }
    }

    /// Reads the chat template: that of the last adapter folder that has one, else that of the base model.
    ///
    /// # Errors
    /// If a file cannot be read, or the template is not valid.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, PretrainedError> {
        if let Some(template) = adapter_chat_template(&self.adapters)? {
            return Ok(Some(template));
        }
        match &self.base {
            BaseFiles::Folder(path) => Ok(ChatTemplate::from_folder(path)?),
            BaseFiles::Gguf(file) => file.chat_template(),
        }
    }

    /// Reads the ids of the tokens that end a text.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn stop_token_ids(&self) -> Result<Vec<u32>, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => {
                let generation = files::read_json(path.as_path(), files::GENERATION_CONFIG_FILE)?;
                let config = files::read_json(path.as_path(), files::CONFIG_FILE)?;
                Ok(crate::generation::stop_token_ids(generation.iter().chain(&config)))
            }
            BaseFiles::Gguf(file) => Ok(file.stop_token_ids()),
        }
    }

    /// Reads `generation_config.json`, or the settings of `config.json` or of a GGUF file in that form; `None` if the model
    /// has none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn generation_config(&self) -> Result<Option<serde_json::Value>, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => match files::read_json(path.as_path(), files::GENERATION_CONFIG_FILE)? {
                Some(config) => Ok(Some(config)),
                None => {
                    let config = files::read_json(path.as_path(), files::CONFIG_FILE)?;
                    Ok(config.as_ref().and_then(settings_of_model_config))
                }
            },
            BaseFiles::Gguf(file) => Ok(file.generation_config()),
        }
    }

    /// Returns how the files store the tensors, most values first.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn dtypes(&self) -> Result<Vec<DtypeSummary>, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => Ok(DtypeSummary::summarize(ModelFolder::open(path)?.tensors().entries())),
            BaseFiles::Gguf(file) => Ok(file.dtypes()),
        }
    }

    /// Returns how the model turns a text into one vector: as `modules.json` (sentence-transformers) or the GGUF file
    /// says, else by the mean over tokens.
    ///
    /// # Errors
    /// If a file cannot be read, or has an option that Kiln does not support.
    pub fn embedding_config(&self) -> Result<EmbeddingHeadConfig, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => folder_embedding_config(path),
            BaseFiles::Gguf(file) => {
                let pooling = file.pooling()?.unwrap_or(DEFAULT_EMBEDDING_CONFIG.pooling);
                Ok(EmbeddingHeadConfig { pooling, ..DEFAULT_EMBEDDING_CONFIG })
            }
        }
    }
}

impl PretrainedSource {
    /// Returns how the model turns a text into one vector, prompts and modules after pooling included. A GGUF file has the
    /// pooling only, and the length of its tokenizer.
    ///
    /// # Errors
    /// If a file cannot be read, or has an option that Kiln does not support.
    pub fn sentence_config(&self) -> Result<SentenceConfig, PretrainedError> {
        match &self.base {
            BaseFiles::Folder(path) => SentenceConfig::from_folder(path),
            BaseFiles::Gguf(file) => {
                let modes = vec![file.pooling()?.unwrap_or(DEFAULT_EMBEDDING_CONFIG.pooling)];
                let pooling = PoolingOptions { modes, ..PoolingOptions::default() };
                let max_length = file.tokenizer()?.max_length();
                Ok(SentenceConfig { pooling, max_length, ..SentenceConfig::default() })
            }
        }
    }
}

/// Returns how a sentence-transformers folder turns a text into one vector.
fn folder_embedding_config(folder: &Path) -> Result<EmbeddingHeadConfig, PretrainedError> {
    let file = folder.join(sentence_transformers::MODULES_FILE);
    let unsupported = |error| PretrainedError::Unsupported { file: file.clone(), error };
    let modules = read_json(folder, sentence_transformers::MODULES_FILE)?;
    let pooling_file = sentence_transformers::pooling_file(modules.as_ref()).map_err(unsupported)?;
    let pooling = match pooling_file {
        Some(name) => read_json(folder, &name)?,
        None => None,
    };
    sentence_transformers::embedding_head(modules.as_ref(), pooling.as_ref()).map_err(unsupported)
}

/// The embedding head of a model whose files do not describe one: the mean over tokens, not normalized, as in the
/// `sentence-transformers` library.
pub const DEFAULT_EMBEDDING_CONFIG: EmbeddingHeadConfig =
    EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };

/// Attaches the adapters of `folders` to a model, in this order. Adapters that the model already has are merged into its
/// weights first, so that those of the last folder remain attached. `family` names the parameters; `None` means the first
/// family that can hold the model.
///
/// # Errors
/// If a folder cannot be read, or its adapters do not fit the model.
pub fn apply_adapters(
    mut model: Model,
    family: Option<&Family>,
    folders: &[PathBuf],
) -> Result<Model, PretrainedError> {
    for folder in folders {
        let below = if model.adapters().is_empty() { Ok(model) } else { merge(&model).map_err(PeftFormatError::from) };
        model = below
            .and_then(|below| peft_format::load_adapters(&below, family, folder))
            .map_err(|error| PretrainedError::Adapter { folder: folder.clone(), error: Box::new(error) })?;
    }
    Ok(model)
}

/// Returns the chat template of the last of `folders` that has one.
///
/// # Errors
/// If a file cannot be read, or the template is not valid.
pub fn adapter_chat_template(folders: &[PathBuf]) -> Result<Option<ChatTemplate>, PretrainedError> {
    for folder in folders.iter().rev() {
        if let Some(template) = ChatTemplate::from_folder(folder)? {
            return Ok(Some(template));
        }
    }
    Ok(None)
}
