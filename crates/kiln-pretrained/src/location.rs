//! Location of a model's files: a base model and the adapter folders that apply to it.

use crate::{
    PretrainedError,
    files::{self, LoadError},
    peft_format,
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Paths of a model: the base model and its adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelLocation {
    /// The base model: a folder or a `.gguf` file. It may not exist.
    pub base: PathBuf,
    /// Adapter folders, in the order in which they are applied.
    pub adapters: Vec<PathBuf>,
}

/// A function that downloads a model by its name on the hub and returns its path; `None` if the text is not such a name.
pub type FetchModel<'a> = dyn FnMut(&str) -> Result<Option<PathBuf>, PretrainedError> + 'a;

/// Maximum number of adapter folders in a chain, each the base model of the next. A longer chain is assumed to be a cycle.
/// The error in [`ModelLocation::resolve`] repeats the number.
const MAX_ADAPTERS: usize = 8;

impl ModelLocation {
    /// Finds a model on disk. `source` is the folder or `.gguf` file of a model, an adapter folder whose base model is on
    /// disk, or one of the model files of such a folder: `config.json`, `adapter_config.json` or a weight file.
    ///
    /// # Errors
    /// If an adapter folder cannot be read or its base model does not exist. Whether the base is a model is not checked.
    pub fn on_disk(source: &Path) -> Result<Self, PretrainedError> {
        Self::resolve(source, &mut |_| Ok(None))
    }

    /// Returns `source` as text if it may be a hub name such as `owner/model`: if neither the path nor its parent folder exists.
    pub fn remote_name(source: &Path) -> Option<&str> {
        let is_path = source.exists() || source.parent().is_some_and(Path::is_dir);
        source.to_str().filter(|_| !is_path)
    }

    /// Finds a model on disk as [`on_disk`](Self::on_disk) does, or else by `fetch`. `fetch` is called with `source` if
    /// that is not a path of this machine, and with the name of an adapter folder's base model that is not on disk.
    ///
    /// # Errors
    /// As [`on_disk`](Self::on_disk), and the errors of `fetch`.
    pub fn resolve(source: &Path, fetch: &mut FetchModel) -> Result<Self, PretrainedError> {
        let fetched = match Self::remote_name(source) {
            Some(name) => fetch(name)?,
            None => None,
        };
        let mut path = model_folder(&fetched.unwrap_or_else(|| source.to_owned()));
        let mut adapters = Vec::new();
        while let Some(reference) = BaseReference::read(&path)? {
            if adapters.len() == MAX_ADAPTERS {
                let found =
                    "a chain of more than 8 adapter folders; do their base_model_name_or_path values form a cycle?";
                return Err(PretrainedError::NotFound { path, found });
            }
            let base = match reference.existing_path() {
                Some(base) => base.to_owned(),
                None => fetch(&reference.name)?.ok_or_else(|| reference.missing_error())?,
            };
            adapters.push(std::mem::replace(&mut path, model_folder(&base)));
        }
        // The outermost folder was found first and is applied last.
        adapters.reverse();
        Ok(Self { base: path, adapters })
    }
}

/// Returns the parent folder if `path` is a model file (configuration or weights of a model or adapter folder); any other path
/// unchanged.
fn model_folder(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_model_file = [files::CONFIG_FILE, peft_format::CONFIG_FILE].contains(&name)
        || files::WEIGHT_FILES.contains(&name)
        || peft_format::WEIGHT_FILES.contains(&name);
    match path.parent().filter(|_| is_model_file && path.is_file()) {
        Some(folder) if folder.as_os_str().is_empty() => ".".into(),
        Some(folder) => folder.into(),
        None => path.into(),
    }
}

/// The reference of an adapter folder to its base model.
struct BaseReference {
    adapter: PathBuf,
    /// `base_model_name_or_path`.
    name: String,
    /// The paths that the name may mean: relative to the adapter folder, or to the working directory.
    candidates: Vec<PathBuf>,
}

impl BaseReference {
    /// Reads the reference of an adapter folder; `None` if `path` is not an adapter folder.
    fn read(path: &Path) -> Result<Option<Self>, PretrainedError> {
        if !path.is_dir() {
            return Ok(None);
        }
        let file = path.join(peft_format::CONFIG_FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::io(file)(error).into()),
        };
        let config: Value = serde_json::from_slice(&text).map_err(LoadError::broken(&file, "JSON"))?;
        let Some(name) = config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty()) else {
            let error = ValidationError::new(
                "base_model_name_or_path",
                "missing key: the folder does not name the base model of its adapters",
            );
            let suggestion = format!("pass the base model, and the adapters with `--adapter {}`", path.display());
            return Err(PretrainedError::Unsupported { file, error: error.with_suggestion(suggestion) });
        };
        let mut candidates = vec![path.join(name), PathBuf::from(name)];
        candidates.dedup();
        Ok(Some(Self { adapter: path.to_owned(), name: name.into(), candidates }))
    }

    /// The first candidate that exists and is not the adapter folder itself.
    fn existing_path(&self) -> Option<&Path> {
        let adapter = self.adapter.canonicalize().ok();
        let is_other = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| Some(path) != adapter);
        self.candidates.iter().find(is_other).map(PathBuf::as_path)
    }

    /// The error of a base model that is neither on disk nor on the hub.
    fn missing_error(self) -> PretrainedError {
        PretrainedError::MissingBase { adapter: self.adapter, base: self.name, candidates: self.candidates }
    }
}

/// A file that every run folder of Kiln has.
const RUN_FILE: &str = "recipe.toml";

/// Describes, for an error message, what is at a path that is not a model.
pub(crate) fn describe_path(path: &Path) -> &'static str {
    if path.join(RUN_FILE).is_file() {
        return "a Kiln run folder; export the run first with `kiln export`";
    }
    if path.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        return "an empty folder";
    }
    match () {
        () if path.is_dir() => "a folder with neither a recipe.toml nor a config.json",
        () if path.exists() => "a file that is not in GGUF format",
        () => "nothing",
    }
}
