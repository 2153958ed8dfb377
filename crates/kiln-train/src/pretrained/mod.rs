//! Models by name, wherever they come from: a run of Kiln's, a folder as Hugging Face lays it out, a GGUF file, adapters
//! over one of them.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use kiln_spec::Direction;
//! use kiln_train::pretrained;
//!
//! let loaded = pretrained::load("models/SmolLM2-135M-Instruct".as_ref(), &Device::flex())?;
//! let ids: Vec<i32> = loaded.tokenizer.encode("Water boils at").into_iter().map(|id| id as i32).collect();
//! let (hidden, _) = loaded.model.step(&ids, &[ids.len()], Direction::Causal, Default::default());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter;
mod chat_files;
mod error;
mod gguf;
mod hugging_face;
mod metadata;
mod model;

pub use adapter::{AdapterBase, read_adapter_base};
pub(crate) use chat_files::save_chat_files;
pub use error::PretrainedError;
pub use gguf::{Gguf, from_gguf_tokenizer};
pub use model::PretrainedModel;

use crate::{TrainError, run, run_folder::RunPaths};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_infer::GenerationMode;
use kiln_models::{Model, ModelConfig};
use kiln_pretrained::files::{self, ModelFolder};
use kiln_pretrained::peft_format::CONFIG_FILE;
use std::path::{Path, PathBuf};

/// Where a model is.
#[derive(Debug)]
pub enum ModelSource {
    /// The folder of a run.
    Run(PathBuf),
    /// A folder with a `config.json`.
    Folder(PathBuf),
    /// A `.gguf` file, opened.
    Gguf(Box<Gguf>),
    /// Adapters over a model.
    WithAdapter {
        /// The model.
        base: Box<ModelSource>,
        /// The adapters' folder, as `peft` lays it out.
        adapter: PathBuf,
    },
}

/// A model that is ready to be used.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model, on the device that was asked for.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What it does with a text.
    pub generation_mode: GenerationMode,
    /// Tokens that end what it writes, besides the tokenizer's own.
    pub stop_tokens: Vec<u32>,
}

/// What a run's folder is known by.
const RECIPE_FILE: &str = "recipe.toml";
/// How many adapter folders may lie over each other.
const MAX_ADAPTER_DEPTH: usize = 8;

/// Whether a file has a name that says what the folder around it is.
fn is_model_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    [RECIPE_FILE, files::CONFIG_FILE, CONFIG_FILE].contains(&name) || files::WEIGHT_FILES.contains(&name)
}

/// What a run started from, as its recipe says.
///
/// # Errors
/// If the recipe can't be read.
pub fn run_origin(folder: &Path) -> Result<Option<PathBuf>, PretrainedError> {
    let recipe = RunPaths::open(folder)
        .map_err(TrainError::from)
        .and_then(|paths| run::load_recipe(&paths))
        .map_err(Box::new)?;
    Ok(recipe.from.map(PathBuf::from))
}

/// Loads a model with its tokenizer.
///
/// # Errors
/// If there is none, Kiln doesn't know its family or an option of it, or a file is damaged.
pub fn load(path: &Path, device: &Device) -> Result<LoadedModel, PretrainedError> {
    ModelSource::open(path)?.load(device)
}

impl ModelSource {
    /// What stands at a path.
    ///
    /// # Errors
    /// If it is no model, or a damaged `.gguf` file.
    pub fn open(path: &Path) -> Result<Self, PretrainedError> {
        Self::open_at_depth(path, MAX_ADAPTER_DEPTH)
    }

    fn open_at_depth(path: &Path, deep: usize) -> Result<Self, PretrainedError> {
        let nothing = |found| Err(PretrainedError::NotFound { path: path.to_owned(), found });
        if let Some(base) = read_adapter_base(path)? {
            let found = base.existing_path().ok_or_else(|| base.missing_error())?;
            return match deep {
                0 => nothing("adapters of adapters, and so on: a circle?"),
                _ => Ok(Self::open_at_depth(found, deep - 1)?.with_adapter(path)),
            };
        }
        // A file of a folder means the folder.
        if let Some(folder) = path.parent().filter(|_| path.is_file() && is_model_file(path)) {
            return Self::open_at_depth(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, deep);
        }
        match () {
            () if path.join(RECIPE_FILE).is_file() => Ok(Self::Run(path.to_owned())),
            () if path.join(files::CONFIG_FILE).is_file() => Ok(Self::Folder(path.to_owned())),
            () if path.extension().is_some_and(|ending| ending == "gguf") && path.is_file() => {
                Ok(Self::Gguf(Box::new(Gguf::open(path)?)))
            }
            () if path.read_dir().is_ok_and(|mut inside| inside.next().is_none()) => nothing("an empty folder"),
            () if path.is_dir() => nothing("a folder with neither a recipe.toml nor a config.json"),
            () if path.exists() => nothing("a file that is no .gguf"),
            () => nothing("nothing"),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Run(path) | Self::Folder(path) => path,
            Self::Gguf(gguf) => gguf.path(),
            Self::WithAdapter { adapter, .. } => adapter,
        }
    }

    /// The model with its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, a file is damaged, or the two don't belong together.
    pub fn load(&self, device: &Device) -> Result<LoadedModel, PretrainedError> {
        if let Self::WithAdapter { base, adapter } = self {
            let loaded = base.load(device)?;
            return Ok(LoadedModel { model: adapter::load_adapter(&loaded.model, self.family()?, adapter)?, ..loaded });
        }
        if let Self::Run(path) = self {
            let loaded = run::load(path, device).map_err(Box::new)?;
            let (usage, stop) = (loaded.generation_mode(), self.stop_tokens()?);
            return Ok(LoadedModel {
                model: loaded.model,
                tokenizer: loaded.tokenizer,
                generation_mode: usage,
                stop_tokens: stop,
            });
        }
        // What model it is comes first: without one nothing is to be said of its tokenizer.
        self.config()?;
        let (tokenizer, weights) = (self.tokenizer()?, self.load_model(device)?);
        let (tokens, known) = (tokenizer.vocab_size(), weights.model.config().vocab);
        if tokens > known {
            return Err(PretrainedError::VocabSizeMismatch {
                path: self.path().to_owned(),
                tokenizer_vocab: tokens,
                model_vocab: known,
            });
        }
        let mut usage = GenerationMode::for_visibility(weights.model.config().visibility, tokenizer.special_tokens());
        if let (Some(opening), Some(start)) = (usage.generates.as_mut(), weights.decoder_start_token()) {
            opening.first_token = start;
        }
        Ok(LoadedModel { model: weights.model, tokenizer, generation_mode: usage, stop_tokens: self.stop_tokens()? })
    }

    /// What the model is; its weights are not read.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn config(&self) -> Result<ModelConfig, PretrainedError> {
        match self {
            Self::Run(path) => {
                let paths = RunPaths::open(path).map_err(|error| Box::new(error.into()))?;
                let recipe = run::load_recipe(&paths).map_err(Box::new)?;
                Ok(run::model_config(&recipe, &self.tokenizer()?).map_err(Box::new)?)
            }
            Self::Folder(path) => Ok(ModelFolder::open(path)?.config()?.1),
            Self::Gguf(gguf) => Ok(gguf.read_config()?.1),
            Self::WithAdapter { base, .. } => base.config(),
        }
    }

    /// The model without its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn load_model(&self, device: &Device) -> Result<PretrainedModel, PretrainedError> {
        match self {
            Self::Run(path) => {
                let model = run::load(path, device).map_err(Box::new)?.model;
                Ok(PretrainedModel {
                    model,
                    family: None,
                    config_json: None,
                    generation_config: self.generation_config()?,
                })
            }
            Self::Folder(path) => Ok(ModelFolder::open(path)?.load(device)?.into()),
            Self::Gguf(gguf) => gguf.load_model(device),
            Self::WithAdapter { base, adapter } => {
                let weights = base.load_model(device)?;
                Ok(PretrainedModel {
                    model: adapter::load_adapter(&weights.model, self.family()?, adapter)?,
                    ..weights
                })
            }
        }
    }
}
