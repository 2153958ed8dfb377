//! Models of every source: run folders of Kiln, and all that `kiln-pretrained` loads.
//!
//! [`ModelSource`] wraps [`PretrainedSource`] and adds run folders, which need a recipe to be read. [`load`] loads
//! model and tokenizer from a path:
//!
//! ```no_run
//! use burn::tensor::Device;
//! use kiln_spec::Direction;
//! use kiln_train::pretrained;
//!
//! let loaded = pretrained::load("runs/stories".as_ref(), &Device::flex())?;
//! let ids: Vec<i32> = loaded.tokenizer.encode("Water boils at").into_iter().map(|id| id as i32).collect();
//! let (hidden, _) = loaded.model.step(&ids, &[ids.len()], Direction::Causal, Default::default());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chat_files;
mod checkpoint_source;
mod sentence_source;
mod source_model;

pub use sentence_source::PROJECTION;
pub use source_model::SourceModel;

use crate::{
    TrainError,
    run::{self, CheckpointChoice},
    run_folder::RunPaths,
};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, Tokenizer, file_set::read_json};
use kiln_models::{DtypeSummary, Model, ModelConfig, WeightPrecision, hf::Family};
use kiln_pretrained::{
    BaseFiles, ModelLocation, Pretrained, PretrainedSource,
    files::GENERATION_CONFIG_FILE,
    generation::stop_token_ids,
    source::{adapter_chat_template, apply_adapters},
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An opened model on disk: a run folder or a pretrained model, with adapter folders over it.
#[derive(Debug)]
pub enum ModelSource {
    /// A run folder of Kiln.
    Run {
        /// The folder.
        folder: PathBuf,
        /// The checkpoint whose weights are used.
        checkpoint: CheckpointChoice,
        /// Adapter folders, in the order in which they are applied.
        adapters: Vec<PathBuf>,
    },
    /// A Hugging Face folder or a GGUF file, with its adapters.
    Pretrained(Box<PretrainedSource>),
}

/// The file with the settings of a tokenizer.
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// The file that identifies a run folder.
const RECIPE_FILE: &str = "recipe.toml";

/// Loads a model with its tokenizer, chat template and generation settings from a path: a run folder, or any source on
/// disk that [`Pretrained::load`] accepts.
///
/// # Errors
/// If there is no model, its family or an option of it is not supported, or a file is damaged.
pub fn load(path: &Path, device: &Device) -> Result<Pretrained, TrainError> {
    ModelSource::open(path)?.load(device)
}

/// Returns the path of the model that a run started from (`from` of its recipe); `None` if it started from scratch.
///
/// # Errors
/// If the recipe cannot be read.
pub fn run_origin(folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    let recipe = run::load_recipe(&RunPaths::open(folder)?)?;
    Ok(recipe.from.map(PathBuf::from))
}

impl ModelSource {
    /// Opens the model at a path, which may be `RUN@STEP`, `RUN@best` or `RUN@last`. Nothing is downloaded.
    ///
    /// # Errors
    /// If there is no model, or a damaged GGUF file.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        match Self::run_checkpoint(path)? {
            Some(source) => Ok(source),
            None => Self::at(ModelLocation::on_disk(path)?),
        }
    }

    /// Opens the model at a location.
    ///
    /// # Errors
    /// If the base is not a model, or a damaged GGUF file.
    pub fn at(mut location: ModelLocation) -> Result<Self, TrainError> {
        // The path of a run's `recipe.toml` is accepted in place of the run folder.
        if location.base.file_name().is_some_and(|name| name == RECIPE_FILE) && location.base.is_file() {
            let folder = location.base.parent().filter(|folder| !folder.as_os_str().is_empty());
            location.base = folder.unwrap_or(Path::new(".")).to_owned();
        }
        if location.base.join(RECIPE_FILE).is_file() {
            let checkpoint = CheckpointChoice::default();
            return Ok(Self::Run { folder: location.base, checkpoint, adapters: location.adapters });
        }
        Ok(Self::Pretrained(Box::new(PretrainedSource::at(location)?)))
    }

    /// Returns the same model with the adapters of `folder` over it. Adapters below are merged into the weights.
    #[must_use]
    pub fn with_adapter(self, folder: &Path) -> Self {
        match self {
            Self::Run { folder: run, checkpoint, mut adapters } => {
                adapters.push(folder.to_owned());
                Self::Run { folder: run, checkpoint, adapters }
            }
            Self::Pretrained(source) => Self::Pretrained(Box::new(source.with_adapter(folder))),
        }
    }

    /// Removes the adapter folder that is applied last, and returns it.
    pub fn pop_adapter(&mut self) -> Option<PathBuf> {
        match self {
            Self::Run { adapters, .. } => adapters.pop(),
            Self::Pretrained(source) => source.pop_adapter(),
        }
    }

    /// The adapter folders, in the order in which they are applied.
    pub fn adapters(&self) -> &[PathBuf] {
        match self {
            Self::Run { adapters, .. } => adapters,
            Self::Pretrained(source) => source.adapters(),
        }
    }

    /// The path of the base model.
    pub fn base_path(&self) -> &Path {
        match self {
            Self::Run { folder, .. } => folder,
            Self::Pretrained(source) => source.base_path(),
        }
    }

    /// The path that names the model: the last adapter folder, else the base model.
    pub fn path(&self) -> &Path {
        self.adapters().last().map_or(self.base_path(), PathBuf::as_path)
    }

    /// The run folder, if the base model is one.
    pub fn run_folder(&self) -> Option<&Path> {
        match self {
            Self::Run { folder, .. } => Some(folder),
            Self::Pretrained(_) => None,
        }
    }

    /// Returns the family whose names the parameters have in the files of other programs. A run has the family of the
    /// model that it started from, or none.
    ///
    /// # Errors
    /// If the family is not supported, or a file is damaged.
    pub fn family(&self) -> Result<Option<&'static Family>, TrainError> {
        match self {
            Self::Run { folder, .. } => match run_origin(folder)? {
                // A run can be used without the model that it started from.
                Some(origin) => Self::open(&origin).map_or(Ok(None), |origin| origin.family()),
                None => Ok(None),
            },
            Self::Pretrained(source) => Ok(Some(source.family()?)),
        }
    }

    /// Loads model, tokenizer, chat template and generation settings. Of a run, the best checkpoint of the last stage is
    /// loaded, or the newest if none was evaluated.
    ///
    /// # Errors
    /// If the model or an option of it is not supported, a file is damaged, or model and tokenizer do not fit.
    pub fn load(&self, device: &Device) -> Result<Pretrained, TrainError> {
        self.load_as(device, WeightPrecision::default_on(device))
    }

    /// [`load`](Self::load) with the weights of the base model held as `precision` says.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if a value can't be represented in the type.
    pub fn load_as(&self, device: &Device, precision: WeightPrecision) -> Result<Pretrained, TrainError> {
        match self {
            Self::Run { folder, checkpoint, adapters } => {
                self.load_run(folder, run::load_checkpoint_as(folder, *checkpoint, device, precision)?, adapters)
            }
            Self::Pretrained(source) => Ok(source.load_as(device, precision)?),
        }
    }

    /// The model of a run with adapter folders applied. The family is read only if there are adapters: they need it.
    fn adapted_run(&self, model: Model, adapters: &[PathBuf]) -> Result<Model, TrainError> {
        if adapters.is_empty() {
            return Ok(model);
        }
        Ok(apply_adapters(model, self.family()?, adapters)?)
    }

    /// Loads the model without its tokenizer.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_model(&self, device: &Device) -> Result<SourceModel, TrainError> {
        self.load_model_as(device, WeightPrecision::default_on(device))
    }

    /// [`load_model`](Self::load_model) with the weights of the base model held as `precision` says.
    ///
    /// # Errors
    /// As [`load_as`](Self::load_as).
    pub fn load_model_as(&self, device: &Device, precision: WeightPrecision) -> Result<SourceModel, TrainError> {
        match self {
            Self::Run { folder, checkpoint, adapters } => Ok(SourceModel {
                model: self
                    .adapted_run(run::load_checkpoint_as(folder, *checkpoint, device, precision)?.model, adapters)?,
                family: None,
                config_json: None,
                generation_config: self.generation_config()?,
            }),
            Self::Pretrained(source) => Ok(source.load_model_as(device, precision)?.into()),
        }
    }

    /// Returns the configuration of the base model. Weights are not read.
    ///
    /// # Errors
    /// If the model or an option of it is not supported, or a file is damaged.
    pub fn config(&self) -> Result<ModelConfig, TrainError> {
        match self {
            Self::Run { folder, .. } => {
                let recipe = run::load_recipe(&RunPaths::open(folder)?)?;
                run::model_config(&recipe, &self.tokenizer()?)
            }
            Self::Pretrained(source) => Ok(source.config()?),
        }
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn tokenizer(&self) -> Result<Tokenizer, TrainError> {
        match self {
            Self::Run { folder, .. } => run::load_tokenizer(&RunPaths::open(folder)?),
            Self::Pretrained(source) => Ok(source.tokenizer()?),
        }
    }

    /// Reads the chat template: that of the last adapter folder that has one, else that of the base model.
    ///
    /// # Errors
    /// If a file cannot be read, or the template is not valid.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, TrainError> {
        match self {
            Self::Run { folder, adapters, .. } => match adapter_chat_template(adapters)? {
                Some(template) => Ok(Some(template)),
                None => Ok(ChatTemplate::from_folder(folder)?),
            },
            Self::Pretrained(source) => Ok(source.chat_template()?),
        }
    }

    /// Reads the ids of the tokens that end a text.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn stop_token_ids(&self) -> Result<Vec<u32>, TrainError> {
        match self {
            Self::Run { .. } => Ok(stop_token_ids(&self.generation_config()?)),
            Self::Pretrained(source) => Ok(source.stop_token_ids()?),
        }
    }

    /// Reads `generation_config.json`; `None` if the model has none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn generation_config(&self) -> Result<Option<Value>, TrainError> {
        match self {
            Self::Run { folder, .. } => Ok(read_json(folder.as_path(), GENERATION_CONFIG_FILE)?),
            Self::Pretrained(source) => Ok(source.generation_config()?),
        }
    }

    /// Reads `tokenizer_config.json`; `None` if the model has none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn tokenizer_config(&self) -> Result<Option<Value>, TrainError> {
        let folder = match self {
            Self::Run { folder, .. } => folder,
            Self::Pretrained(source) => match source.base() {
                BaseFiles::Folder(folder) => folder,
                BaseFiles::Gguf(_) => return Ok(None),
            },
        };
        Ok(read_json(folder.as_path(), TOKENIZER_CONFIG_FILE)?)
    }

    /// Returns how the files store the tensors, most values first; nothing for a run.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn dtypes(&self) -> Result<Vec<DtypeSummary>, TrainError> {
        match self {
            Self::Run { .. } => Ok(Vec::new()),
            Self::Pretrained(source) => Ok(source.dtypes()?),
        }
    }
}
