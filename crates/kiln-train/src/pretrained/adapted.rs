//! Adapters in a folder of `peft`'s, over the model that they belong to.

use super::{Error, Place, hugging_face::json};
use kiln_models::{Model, hf::Family};
use kiln_peft::{folder, merge};
use kiln_spec::Refusal;
use std::path::{Path, PathBuf};

/// What an adapter folder says of the model that its adapters belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The folder.
    pub adapter: PathBuf,
    /// What it calls that model: a path, or a name on the hub.
    pub name: String,
    /// Where a path of this name may lead: from the folder, and from here.
    pub looked: Vec<PathBuf>,
}

/// What an adapter folder says of its base; none of what is no adapter folder.
///
/// # Errors
/// If its `adapter_config.json` can't be read or names no base.
pub fn base(path: &Path) -> Result<Option<Base>, Error> {
    let file = path.join(folder::CONFIG);
    // A `.gguf` file is no folder either.
    let Some(config) = path.is_dir().then(|| json(&file)).transpose()?.flatten() else { return Ok(None) };
    let Some(name) = config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty()) else {
        let refusal = Refusal::new("base_model_name_or_path", "it doesn't say which model the adapters belong to");
        let refusal = refusal.instead(format!("name the model, and the adapters by `--adapter {}`", path.display()));
        return Err(Error::Refused { file, refusal });
    };
    let mut looked = vec![path.join(name), PathBuf::from(name)];
    looked.dedup();
    Ok(Some(Base { adapter: path.to_owned(), name: name.into(), looked }))
}

impl Base {
    /// The path that is there. Never the adapter folder itself.
    pub fn found(&self) -> Option<&Path> {
        let itself = self.adapter.canonicalize().ok();
        let other = |path: &&PathBuf| path.canonicalize().is_ok_and(|found| Some(found) != itself);
        self.looked.iter().find(other).map(PathBuf::as_path)
    }

    /// That none is.
    pub fn missing(&self) -> Error {
        Error::Base(Box::new(self.clone()))
    }
}

impl Place {
    /// The same model with the adapters of a folder over it, others that it has being merged.
    #[must_use]
    pub fn under(self, adapter: &Path) -> Self {
        Self::Adapted { base: Box::new(self), adapter: adapter.to_owned() }
    }

    /// The run at the bottom, if it is one.
    pub fn run(&self) -> Option<&Path> {
        match self {
            Self::Run(path) => Some(path),
            Self::Adapted { base, .. } => base.run(),
            Self::Folder(_) | Self::Gguf(_) => None,
        }
    }

    /// Whose names its parameters have in others' files: those of the model that a run started from; none of any other
    /// run.
    ///
    /// # Errors
    /// If Kiln doesn't know the family, or a file is damaged.
    pub fn family(&self) -> Result<Option<&'static Family>, Error> {
        match self {
            Self::Run(path) => match super::origin(path)? {
                Some(from) => Self::of(&from).map_or(Ok(None), |from| from.family()),
                None => Ok(None),
            },
            Self::Folder(path) => Ok(Some(kiln_models::files::Folder::open(path)?.config()?.0)),
            Self::Gguf(gguf) => Ok(Some(gguf.read()?.0)),
            Self::Adapted { base, .. } => base.family(),
        }
    }
}

/// A model with the adapters of a folder.
pub(super) fn over(model: &Model, family: Option<&Family>, adapter: &Path) -> Result<Model, Error> {
    let model = if model.adapters().is_empty() { model.clone() } else { merge(model) };
    let failed = |error| Error::Adapter { folder: adapter.to_owned(), error: Box::new(error) };
    folder::load(&model, family, adapter).map_err(failed)
}
