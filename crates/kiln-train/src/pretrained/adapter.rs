//! Adapters in a folder of `peft`'s, over the model that they belong to.

use super::{ModelSource, PretrainedError, hugging_face::read_json};
use kiln_models::{Model, hf::Family};
use kiln_peft::merge;
use kiln_pretrained::peft_format;
use kiln_spec::ValidationError;
use std::path::{Path, PathBuf};

/// What an adapter folder says of the model that its adapters belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterBase {
    /// The folder.
    pub adapter: PathBuf,
    /// What it calls that model: a path, or a name on the hub.
    pub name: String,
    /// Where a path of this name may lead: from the folder, and from here.
    pub candidates: Vec<PathBuf>,
}

/// What an adapter folder says of its base; none of what is no adapter folder.
///
/// # Errors
/// If its `adapter_config.json` can't be read or names no base.
pub fn read_adapter_base(path: &Path) -> Result<Option<AdapterBase>, PretrainedError> {
    let file = path.join(peft_format::CONFIG_FILE);
    // A `.gguf` file is no folder either.
    let Some(config) = path.is_dir().then(|| read_json(&file)).transpose()?.flatten() else { return Ok(None) };
    let Some(name) = config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty()) else {
        let refusal =
            ValidationError::new("base_model_name_or_path", "it doesn't say which model the adapters belong to");
        let refusal =
            refusal.with_suggestion(format!("name the model, and the adapters by `--adapter {}`", path.display()));
        return Err(PretrainedError::Unsupported { file, refusal });
    };
    let mut looked = vec![path.join(name), PathBuf::from(name)];
    looked.dedup();
    Ok(Some(AdapterBase { adapter: path.to_owned(), name: name.into(), candidates: looked }))
}

impl AdapterBase {
    /// The path that is there. Never the adapter folder itself.
    pub fn existing_path(&self) -> Option<&Path> {
        let itself = self.adapter.canonicalize().ok();
        let other = |path: &&PathBuf| path.canonicalize().is_ok_and(|found| Some(found) != itself);
        self.candidates.iter().find(other).map(PathBuf::as_path)
    }

    /// That none is.
    pub fn missing_error(&self) -> PretrainedError {
        PretrainedError::MissingBase(Box::new(self.clone()))
    }
}

impl ModelSource {
    /// The same model with the adapters of a folder over it, others that it has being merged.
    #[must_use]
    pub fn with_adapter(self, adapter: &Path) -> Self {
        Self::WithAdapter { base: Box::new(self), adapter: adapter.to_owned() }
    }

    /// The run at the bottom, if it is one.
    pub fn run_folder(&self) -> Option<&Path> {
        match self {
            Self::Run(path) => Some(path),
            Self::WithAdapter { base, .. } => base.run_folder(),
            Self::Folder(_) | Self::Gguf(_) => None,
        }
    }

    /// Whose names its parameters have in others' files: those of the model that a run started from; none of any other
    /// run.
    ///
    /// # Errors
    /// If Kiln doesn't know the family, or a file is damaged.
    pub fn family(&self) -> Result<Option<&'static Family>, PretrainedError> {
        match self {
            Self::Run(path) => match super::run_origin(path)? {
                Some(from) => Self::open(&from).map_or(Ok(None), |from| from.family()),
                None => Ok(None),
            },
            Self::Folder(path) => Ok(Some(kiln_pretrained::files::ModelFolder::open(path)?.config()?.0)),
            Self::Gguf(gguf) => Ok(Some(gguf.read_config()?.0)),
            Self::WithAdapter { base, .. } => base.family(),
        }
    }
}

/// A model with the adapters of a folder.
pub(super) fn load_adapter(model: &Model, family: Option<&Family>, adapter: &Path) -> Result<Model, PretrainedError> {
    let model = if model.adapters().is_empty() { model.clone() } else { merge(model) };
    let failed = |error| PretrainedError::Adapter { folder: adapter.to_owned(), error: Box::new(error) };
    peft_format::load_adapters(&model, family, adapter).map_err(failed)
}
