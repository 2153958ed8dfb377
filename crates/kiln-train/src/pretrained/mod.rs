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

use crate::{Failure, folder::RunPaths, run};
use burn::tensor::Device;
use kiln_data::{
    DataError, Tokenizer,
    chat::Chat,
    tokenizer::{Carried, Roles, folder},
};
use kiln_infer::Usage;
use kiln_models::{
    Model, ModelConfig,
    files::{self, Folder, GgufFile, LoadError},
    gguf,
    hf::{self, Family, sentence},
};
use kiln_nn::head::EmbeddingConfig;
use kiln_spec::Refusal;

use serde_json::Value;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder of a run.
    Run(PathBuf),
    /// A folder with a `config.json`.
    Folder(PathBuf),
    /// A `.gguf` file.
    Gguf(PathBuf),
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
}

/// Why a model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No model is there.
    #[error("expected a model, found {found}: {}", path.display())]
    Nothing {
        /// What was asked for.
        path: PathBuf,
        /// What stands there instead.
        found: &'static str,
    },
    /// A run can't be loaded.
    #[error(transparent)]
    Run(#[from] Box<Failure>),
    /// A folder can't be loaded.
    #[error(transparent)]
    Folder(#[from] LoadError),
    /// A tokenizer can't be read.
    #[error(transparent)]
    Tokenizer(#[from] DataError),
    /// A file can't be read.
    #[error("cannot read {}: {error}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file says what Kiln doesn't know.
    #[error("{}: {refusal}", file.display())]
    Refused {
        /// Which.
        file: PathBuf,
        /// What.
        refusal: Refusal,
    },
    /// A GGUF without a tokenizer.
    #[error("{} carries no tokenizer", .0.display())]
    NoTokenizer(PathBuf),
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
    /// If it is no model.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let nothing = |found| Err(Error::Nothing { path: path.to_owned(), found });
        match () {
            () if path.join("recipe.toml").is_file() => Ok(Self::Run(path.to_owned())),
            () if path.join(files::CONFIG).is_file() => Ok(Self::Folder(path.to_owned())),
            () if path.extension().is_some_and(|ending| ending == "gguf") && path.is_file() => {
                Ok(Self::Gguf(path.to_owned()))
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
            Self::Run(path) | Self::Folder(path) | Self::Gguf(path) => path,
        }
    }

    /// The model with its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn load(&self, device: &Device) -> Result<Loaded, Error> {
        if let Self::Run(path) = self {
            let loaded = run::load(path, device).map_err(Box::new)?;
            let usage = loaded.usage();
            return Ok(Loaded { model: loaded.model, tokenizer: loaded.tokenizer, usage, stop: Vec::new() });
        }
        let tokenizer = self.tokenizer()?;
        let model = self.weights(device)?.model;
        let usage = Usage::of(model.config().visibility, tokenizer.specials());
        Ok(Loaded { model, tokenizer, usage, stop: self.stop()? })
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
            Self::Gguf(path) => {
                let file = GgufFile::open(path)?;
                let refused = |refusal| LoadError::Config { file: path.clone(), refusal };
                let (config_json, _) = gguf::read(file.metadata(), &file).map_err(refused)?;
                Ok(hf::read(&config_json).map_err(refused)?.1)
            }
        }
    }

    /// The model without its tokenizer.
    ///
    /// # Errors
    /// If Kiln doesn't know its family or an option of it, or a file is damaged.
    pub fn weights(&self, device: &Device) -> Result<Weights, Error> {
        match self {
            Self::Run(path) => {
                Ok(Weights { model: run::load(path, device).map_err(Box::new)?.model, family: None, config_json: None })
            }
            Self::Folder(path) => Ok(Folder::open(path)?.load(device)?.into()),
            Self::Gguf(path) => Ok(GgufFile::open(path)?.load(device)?.into()),
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
            Self::Gguf(path) => {
                let carried = self.carried()?.ok_or_else(|| Error::NoTokenizer(path.clone()))?;
                Ok(turned(carried).tokenizer()?)
            }
        }
    }

    /// How a conversation becomes text, if the model was trained on any.
    ///
    /// # Errors
    /// If a file can't be read, or the template is none.
    pub fn chat(&self) -> Result<Option<Chat>, Error> {
        match self {
            Self::Run(_) => Ok(None),
            Self::Folder(path) => Ok(Chat::open(path)?),
            Self::Gguf(_) => {
                let Some(carried) = self.carried()? else { return Ok(None) };
                let Some(template) = &carried.chat_template else { return Ok(None) };
                let token = |(role, id): (&String, &u32)| {
                    Some((format!("{role}_token"), Value::from(carried.tokens.get(*id as usize)?.as_str())))
                };
                let tokens = carried.special.iter().filter_map(token).collect();
                Ok(Some(Chat::new(template, tokens)?))
            }
        }
    }

    /// How texts become vectors: as the folder's `modules.json` says, else by the mean of their tokens.
    ///
    /// # Errors
    /// If a file can't be read, or asks for what Kiln doesn't implement.
    pub fn sentence(&self) -> Result<EmbeddingConfig, Error> {
        let refused = |refusal| Error::Refused { file: self.path().join(sentence::MODULES), refusal };
        let Self::Folder(path) = self else { return sentence::head(None, None).map_err(refused) };
        let modules = json(&path.join(sentence::MODULES))?;
        let file = sentence::pooling_file(modules.as_ref()).map_err(refused)?;
        let pooling = file.map(|file| json(&path.join(file))).transpose()?.flatten();
        sentence::head(modules.as_ref(), pooling.as_ref()).map_err(refused)
    }

    /// Tokens that end what the model writes, as its files say.
    fn stop(&self) -> Result<Vec<u32>, Error> {
        match self {
            Self::Run(_) => Ok(Vec::new()),
            Self::Folder(path) => {
                let generation = json(&path.join(files::GENERATION))?.unwrap_or_default();
                let ids = &generation["eos_token_id"];
                let one = ids.as_u64().into_iter();
                let ids = one.chain(ids.as_array().into_iter().flatten().filter_map(Value::as_u64));
                Ok(ids.filter_map(|id| u32::try_from(id).ok()).collect())
            }
            Self::Gguf(_) => {
                let special = self.carried()?.unwrap_or_default().special;
                Ok(["eos", "eot", "eom"].iter().filter_map(|role| special.get(*role).copied()).collect())
            }
        }
    }

    /// The tokenizer that a GGUF carries, as it stands there.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn carried(&self) -> Result<Option<gguf::Carried>, Error> {
        match self {
            Self::Gguf(path) => Ok(GgufFile::open(path)?.tokenizer()?),
            Self::Run(_) | Self::Folder(_) => Ok(None),
        }
    }
}

impl From<files::Loaded> for Weights {
    fn from(loaded: files::Loaded) -> Self {
        Self { model: loaded.model, family: Some(loaded.family), config_json: Some(loaded.config_json) }
    }
}

/// A JSON file, if it is there.
fn json(path: &Path) -> Result<Option<Value>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io { file: path.to_owned(), error }),
    };
    let broken = |error: serde_json::Error| Error::Io { file: path.to_owned(), error: error.into() };
    serde_json::from_slice(&text).map(Some).map_err(broken)
}

/// What a GGUF says of its tokenizer, as tokenizers are made from.
fn turned(carried: gguf::Carried) -> Carried {
    let id = |role: &str| carried.special.get(role).copied();
    let added = |role: &str| carried.added.get(role).copied();
    Carried {
        roles: Roles {
            bos: id("bos"),
            eos: id("eos"),
            pad: id("padding"),
            mask: id("mask"),
            unk: id("unknown"),
            sep: id("seperator"),
            cls: id("cls"),
        },
        add_bos: added("bos"),
        add_eos: added("eos"),
        add_space_prefix: carried.add_space_prefix,
        remove_extra_whitespaces: carried.remove_extra_whitespaces,
        charsmap: carried.charsmap,
        model: carried.model,
        pre: carried.pre,
        tokens: carried.tokens,
        scores: carried.scores,
        types: carried.types,
        merges: carried.merges,
    }
}
