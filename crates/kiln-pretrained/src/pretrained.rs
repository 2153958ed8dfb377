//! [`Pretrained`]: a model with everything that its files hold besides weights.

use crate::{
    GenerationMode, GenerationSettings, PretrainedError,
    files::{CONFIG_FILE, GENERATION_CONFIG_FILE, ModelBytes, ModelFiles, ModelFolder},
    generation::{context_length, decoder_start_token, settings_of_model_config, stop_token_ids},
    gguf::GgufFile,
};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, DataError, MemoryFiles, Tokenizer, tokenizer::pretrained};
use kiln_models::{Model, WeightPrecision, hf::Family};
use serde_json::Value;
use std::path::Path;

/// A pretrained model that is ready to use: weights, tokenizer, chat template and generation settings.
#[derive(Debug)]
pub struct Pretrained {
    /// The model, on the chosen device.
    pub model: Model,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The chat template; `None` if the model has none, or one that is not valid (see `chat_template_error`).
    pub chat_template: Option<ChatTemplate>,
    /// Why the chat template of the model's files cannot be used. An invalid template prevents chats, not loading.
    pub chat_template_error: Option<DataError>,
    /// What the model can do with a text, and which tokens end a text.
    pub generation: GenerationSettings,
}

/// A pretrained model without its tokenizer, with the configuration of its files.
#[derive(Debug)]
pub struct PretrainedModel {
    /// The model.
    pub model: Model,
    /// Its model family.
    pub family: &'static Family,
    /// The contents of `config.json`; of a GGUF file, its metadata in that form.
    pub config_json: Value,
    /// The contents of `generation_config.json`, or the sampling settings of a GGUF file in that form, if there are any.
    pub generation_config: Option<Value>,
}

impl PretrainedModel {
    /// Returns the token that the decoder of an encoder–decoder starts with; `None` for other models.
    pub fn decoder_start_token(&self) -> Option<u32> {
        let configs = self.generation_config.iter().chain([&self.config_json]);
        self.model.encoder().map(|_| decoder_start_token(configs))
    }
}

impl Pretrained {
    /// Loads a model onto Burn's default device: the CPU backend flex, unless a GPU backend is compiled in or the
    /// environment variable `BURN_DEVICE` names another one.
    ///
    /// `source` is a Hugging Face folder, a `.gguf` file, a PEFT adapter folder, or (feature `hub`) a name on the hub:
    /// `owner/name`, or `owner/name:file.gguf`. A path that exists takes precedence over a name. Run folders of Kiln are
    /// opened by `kiln_train::pretrained::load`, which accepts every source of this function too.
    ///
    /// # Errors
    /// If the source has no model, its family or an option of it is not supported, or a file is damaged.
    ///
    /// # Examples
    /// ```no_run
    /// let pretrained = kiln_pretrained::Pretrained::load("models/SmolLM2-135M-Instruct")?;
    /// println!("{} tokens", pretrained.tokenizer.vocab_size());
    /// # Ok::<(), kiln_pretrained::PretrainedError>(())
    /// ```
    #[cfg(feature = "files")]
    pub fn load(source: impl AsRef<Path>) -> Result<Self, PretrainedError> {
        Self::load_on(source, &Device::default())
    }

    /// Loads a model as [`load`](Self::load) does, onto `device`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[cfg(feature = "files")]
    pub fn load_on(source: impl AsRef<Path>, device: &Device) -> Result<Self, PretrainedError> {
        crate::PretrainedSource::open(source.as_ref())?.load(device)
    }

    /// Loads a model from bytes in memory, without a file system: for browsers and tests.
    ///
    /// `files` are pairs of file name and contents: one GGUF file under any name, all parts of a split GGUF file, or the
    /// files of a Hugging Face folder, of which `config.json`, weights and a tokenizer are required. All files that the folder may have on disk
    /// are recognized, such as shards with their index, `tokenizer_config.json` and `generation_config.json`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        device: &Device,
    ) -> Result<Self, PretrainedError> {
        let files: Vec<(&str, &[u8])> = files.into_iter().collect();
        let are_parts = !files.is_empty() && files.iter().all(|(name, _)| name.ends_with(".gguf"));
        let precision = WeightPrecision::default_on(device);
        if files.len() == 1 || are_parts {
            let parts = files.into_iter().map(|(name, bytes)| (name.as_ref(), bytes));
            return Self::from_gguf(&GgufFile::from_parts(parts)?, device, precision);
        }
        Self::from_files(&files.into_iter().collect::<MemoryFiles>(), device, precision)
    }

    /// Loads the files of a Hugging Face folder, on disk or in memory.
    pub(crate) fn from_files<F: ModelFiles + ?Sized>(
        files: &F,
        device: &Device,
        precision: WeightPrecision,
    ) -> Result<Self, PretrainedError> {
        let folder = ModelFolder::from_files(files)?;
        // An unsupported model is reported before its tokenizer is read.
        folder.config()?;
        let tokenizer = pretrained::from_files(files)?;
        let chat_template = ChatTemplate::from_files(files).map_err(PretrainedError::from);
        let stop_ids = stop_token_ids(folder.generation_config.iter().chain([&folder.config_json]));
        let location = files.folder();
        let has_file = folder.generation_config.is_some();
        let mut pretrained =
            Self::new(&location, folder.load_as(device, precision)?, tokenizer, chat_template, stop_ids)?;
        pretrained.generation.config_file = location.join(if has_file { GENERATION_CONFIG_FILE } else { CONFIG_FILE });
        Ok(pretrained)
    }

    /// Loads a GGUF file, on disk or in memory.
    pub(crate) fn from_gguf<B: ModelBytes>(
        file: &GgufFile<B>,
        device: &Device,
        precision: WeightPrecision,
    ) -> Result<Self, PretrainedError> {
        file.config()?;
        let tokenizer = file.tokenizer()?;
        let loaded = file.load_as(device, precision)?;
        Self::new(file.path(), loaded, tokenizer, file.chat_template(), file.stop_token_ids())
    }

    /// Combines the parts of a model that was read from `location`.
    fn new(
        location: &Path,
        loaded: PretrainedModel,
        tokenizer: Tokenizer,
        chat_template: Result<Option<ChatTemplate>, PretrainedError>,
        stop_token_ids: Vec<u32>,
    ) -> Result<Self, PretrainedError> {
        let config = loaded.model.config();
        // A tokenizer may have tokens without a row, which are errors when they are used.
        let tokenizer = tokenizer.with_model_rows(config.vocab);
        let mut mode = GenerationMode::for_visibility(config.visibility, tokenizer.special_tokens());
        if let (Some(format), Some(start)) = (mode.generates.as_mut(), loaded.decoder_start_token()) {
            format.first_token = start;
        }
        let (chat_template, chat_template_error) = match chat_template {
            Ok(template) => (template, None),
            Err(PretrainedError::Tokenizer(error)) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let generation = GenerationSettings {
            mode,
            stop_token_ids,
            context_length: context_length(config, &loaded.config_json),
            config_json: loaded.generation_config.or_else(|| settings_of_model_config(&loaded.config_json)),
            config_file: location.into(),
        };
        Ok(Self { model: loaded.model, tokenizer, chat_template, chat_template_error, generation })
    }
}
