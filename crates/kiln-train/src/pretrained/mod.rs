//! Models by name, wherever they come from: a run of Kiln's, a folder as Hugging Face lays it out, a GGUF file.
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

mod error;
mod gguf;
mod hugging_face;
mod kept;

pub use error::Error;
pub use gguf::Gguf;
pub(crate) use kept::keep;

use crate::{folder::RunPaths, run};
use burn::tensor::Device;
use kiln_data::{Tokenizer, chat::Chat, tokenizer::folder};
use kiln_infer::Usage;
use kiln_models::{
    Model, ModelConfig,
    files::{self, Folder},
    hf::{Family, sentence},
};
use kiln_nn::head::EmbeddingConfig;
use serde_json::Value;
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

/// A model as its files describe it, apart from its tokenizer.
#[derive(Debug)]
pub struct Weights {
    /// The model.
    pub model: Model,
    /// Its family; none of a run.
    pub family: Option<&'static Family>,
    /// Its `config.json`, or what a GGUF says in that form; none of a run.
    pub config_json: Option<Value>,
    /// Its `generation_config.json`, if it has one.
    pub generation: Option<Value>,
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
        let nothing = |found| Err(Error::Nothing { path: path.to_owned(), found });
        match () {
            () if path.join("recipe.toml").is_file() => Ok(Self::Run(path.to_owned())),
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
        }
    }

    /// The model with its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, a file is damaged, or the two don't belong together.
    pub fn load(&self, device: &Device) -> Result<Loaded, Error> {
        if let Self::Run(path) = self {
            let loaded = run::load(path, device).map_err(Box::new)?;
            let (usage, stop) = (loaded.usage(), self.stop()?);
            return Ok(Loaded { model: loaded.model, tokenizer: loaded.tokenizer, usage, stop });
        }
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
            Self::Gguf(gguf) => gguf.config(),
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
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        match self {
            Self::Run(path) => {
                let path = RunPaths::open(path).map_err(|error| Box::new(error.into()))?.tokenizer();
                let text = std::fs::read_to_string(&path).map_err(|error| Error::Io { file: path, error })?;
                Ok(Tokenizer::from_json(&text)?)
            }
            Self::Folder(path) => Ok(folder::open(path)?),
            Self::Gguf(gguf) => gguf.tokenizer(),
        }
    }

    /// How a conversation becomes text, if the model was trained on any.
    ///
    /// # Errors
    /// If a file can't be read, or the template is none.
    pub fn chat(&self) -> Result<Option<Chat>, Error> {
        match self {
            Self::Run(path) | Self::Folder(path) => Ok(Chat::open(path)?),
            Self::Gguf(gguf) => gguf.chat(),
        }
    }

    /// How texts become vectors: as the model's files say, else by the mean of their tokens.
    ///
    /// # Errors
    /// If a file can't be read, or asks for what Kiln doesn't implement.
    pub fn sentence(&self) -> Result<EmbeddingConfig, Error> {
        if let Self::Folder(path) = self {
            return hugging_face::sentence(path);
        }
        let refused = |refusal| Error::Refused { file: self.path().to_owned(), refusal };
        let head = sentence::head(None, None).map_err(refused)?;
        let said = if let Self::Gguf(gguf) = self { gguf.pooling()? } else { None };
        Ok(EmbeddingConfig { pool: said.unwrap_or(head.pool), ..head })
    }

    /// Tokens that end what the model writes, as its files say.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn stop(&self) -> Result<Vec<u32>, Error> {
        match self {
            Self::Run(path) | Self::Folder(path) => hugging_face::stop(path),
            Self::Gguf(gguf) => Ok(gguf.stop()),
        }
    }
}

impl Weights {
    /// The token that the decoder of an encoder–decoder of others begins with: `decoder_start_token_id`, else
    /// `pad_token_id`, else 0. None of any other model, nor of a run, which begins with its tokenizer's bos.
    pub fn start(&self) -> Option<u32> {
        let json = self.config_json.as_ref().filter(|_| self.model.encoder().is_some())?;
        let id = ["decoder_start_token_id", "pad_token_id"].iter().find_map(|key| json[*key].as_u64());
        Some(id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0))
    }
}

impl From<files::Loaded> for Weights {
    fn from(loaded: files::Loaded) -> Self {
        let files::Loaded { model, family, config_json, generation } = loaded;
        Self { model, family: Some(family), config_json: Some(config_json), generation }
    }
}
