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

mod adapted;
mod error;
mod gguf;
mod hugging_face;
mod kept;
mod says;
mod weights;

pub use adapted::{Base, base};
pub use error::Error;
pub use gguf::{Gguf, written};
pub(crate) use kept::keep;
pub use weights::Weights;

use crate::{Failure, folder::RunPaths, run};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_infer::Usage;
use kiln_models::{
    Model, ModelConfig,
    files::{self, Folder},
};
use kiln_peft::folder::CONFIG;
use std::path::{Path, PathBuf};

/// Where a model is.
#[derive(Debug)]
pub enum Place {
    /// The folder of a run.
    Run(PathBuf),
    /// A folder with a `config.json`.
    Folder(PathBuf),
    /// A `.gguf` file, opened.
    Gguf(Box<Gguf>),
    /// Adapters over a model.
    Adapted {
        /// The model.
        base: Box<Place>,
        /// The adapters' folder, as `peft` lays it out.
        adapter: PathBuf,
    },
}

/// A model that is ready to be used.
#[derive(Debug)]
pub struct Loaded {
    /// The model, on the device that was asked for.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What it does with a text.
    pub usage: Usage,
    /// Tokens that end what it writes, besides the tokenizer's own.
    pub stop: Vec<u32>,
}

/// What a run's folder is known by.
const RECIPE: &str = "recipe.toml";
/// How many adapter folders may lie over each other.
const DEEP: usize = 8;

/// Whether a file has a name that says what the folder around it is.
fn part(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    [RECIPE, files::CONFIG, CONFIG].contains(&name) || files::LAYOUTS.contains(&name)
}

/// What a run started from, as its recipe says.
///
/// # Errors
/// If the recipe can't be read.
pub fn origin(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let recipe =
        RunPaths::open(folder).map_err(Failure::from).and_then(|paths| run::recipe(&paths)).map_err(Box::new)?;
    Ok(recipe.from.map(PathBuf::from))
}

/// Loads a model with its tokenizer.
///
/// # Errors
/// If there is none, Kiln doesn't know its family or an option of it, or a file is damaged.
pub fn load(path: &Path, device: &Device) -> Result<Loaded, Error> {
    Place::of(path)?.load(device)
}

impl Place {
    /// What stands at a path.
    ///
    /// # Errors
    /// If it is no model, or a damaged `.gguf` file.
    pub fn of(path: &Path) -> Result<Self, Error> {
        Self::at(path, DEEP)
    }

    fn at(path: &Path, deep: usize) -> Result<Self, Error> {
        let nothing = |found| Err(Error::Nothing { path: path.to_owned(), found });
        if let Some(base) = base(path)? {
            let found = base.found().ok_or_else(|| base.missing())?;
            return match deep {
                0 => nothing("adapters of adapters, and so on: a circle?"),
                _ => Ok(Self::at(found, deep - 1)?.under(path)),
            };
        }
        // A file of a folder means the folder.
        if let Some(folder) = path.parent().filter(|_| path.is_file() && part(path)) {
            return Self::at(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, deep);
        }
        match () {
            () if path.join(RECIPE).is_file() => Ok(Self::Run(path.to_owned())),
            () if path.join(files::CONFIG).is_file() => Ok(Self::Folder(path.to_owned())),
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
            Self::Adapted { adapter, .. } => adapter,
        }
    }

    /// The model with its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, a file is damaged, or the two don't belong together.
    pub fn load(&self, device: &Device) -> Result<Loaded, Error> {
        if let Self::Adapted { base, adapter } = self {
            let loaded = base.load(device)?;
            return Ok(Loaded { model: adapted::over(&loaded.model, self.family()?, adapter)?, ..loaded });
        }
        if let Self::Run(path) = self {
            let loaded = run::load(path, device).map_err(Box::new)?;
            let (usage, stop) = (loaded.usage(), self.stop()?);
            return Ok(Loaded { model: loaded.model, tokenizer: loaded.tokenizer, usage, stop });
        }
        // What model it is comes first: without one nothing is to be said of its tokenizer.
        self.config()?;
        let (tokenizer, weights) = (self.tokenizer()?, self.weights(device)?);
        let (tokens, known) = (tokenizer.vocab(), weights.model.config().vocab);
        if tokens > known {
            return Err(Error::Vocabulary { path: self.path().to_owned(), tokens, known });
        }
        let mut usage = Usage::of(weights.model.config().visibility, tokenizer.specials());
        if let (Some(opening), Some(start)) = (usage.writes.as_mut(), weights.start()) {
            opening.first = start;
        }
        Ok(Loaded { model: weights.model, tokenizer, usage, stop: self.stop()? })
    }

    /// What the model is; its weights are not read.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn config(&self) -> Result<ModelConfig, Error> {
        match self {
            Self::Run(path) => {
                let paths = RunPaths::open(path).map_err(|error| Box::new(error.into()))?;
                let recipe = run::recipe(&paths).map_err(Box::new)?;
                Ok(run::model_config(&recipe, &self.tokenizer()?).map_err(Box::new)?)
            }
            Self::Folder(path) => Ok(Folder::open(path)?.config()?.1),
            Self::Gguf(gguf) => Ok(gguf.read()?.1),
            Self::Adapted { base, .. } => base.config(),
        }
    }

    /// The model without its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn weights(&self, device: &Device) -> Result<Weights, Error> {
        match self {
            Self::Run(path) => {
                let model = run::load(path, device).map_err(Box::new)?.model;
                Ok(Weights { model, family: None, config_json: None, generation: self.generation()? })
            }
            Self::Folder(path) => Ok(Folder::open(path)?.load(device)?.into()),
            Self::Gguf(gguf) => gguf.weights(device),
            Self::Adapted { base, adapter } => {
                let weights = base.weights(device)?;
                Ok(Weights { model: adapted::over(&weights.model, self.family()?, adapter)?, ..weights })
            }
        }
    }
}
