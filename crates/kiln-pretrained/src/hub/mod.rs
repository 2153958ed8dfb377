//! Models from the Hugging Face hub, kept in its cache, which Python's libraries share.
//!
//! The cache's layout is `hf-hub`'s. Files are fetched here: what arrives is held against the length that the hub
//! announces, and a large file against its SHA-256, before it has its name, a transfer that breaks off goes on where it stopped, and no name that the
//! hub sends becomes a path unchecked.

mod cache;
mod error;
mod fetch;
mod file_selection;
mod http;
mod id;
#[cfg(any(test, feature = "testing"))]
pub mod test_server;
#[cfg(test)]
mod tests;

pub use error::HubError;
pub use id::ModelId;

use cache::Snapshot;
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where the hub is, where its cache is, and who asks.
#[derive(Clone)]
pub struct Hub {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// The folder of the cache, `…/hub`.
    pub cache: PathBuf,
    /// The user's token, sent to the hub alone.
    pub token: Option<String>,
    /// Whether only the cache may be asked.
    pub offline: bool,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug)]
pub struct DownloadProgress<'a> {
    /// The file.
    pub file: &'a str,
    /// Bytes that are there.
    pub received: u64,
    /// Bytes that it has.
    pub total: u64,
}

impl Hub {
    /// As the environment says: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or `HF_TOKEN_PATH` or the file
    /// `token` in `HF_HOME`, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cache")));
        let home = set("HF_HOME").map(PathBuf::from);
        let home = home.unwrap_or_else(|| cache.unwrap_or_else(env::temp_dir).join("huggingface"));
        let kept = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| std::fs::read_to_string(kept).ok());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }

    /// The folder that holds a model's files, or the GGUF file that `id` names; fetches what isn't in the cache. If the
    /// hub can't be reached, what the cache has of that revision serves.
    ///
    /// # Errors
    /// If there is no such model, it isn't for this user, or it can't be fetched and isn't in the cache.
    pub fn fetch_model(
        &self,
        id: &ModelId,
        revision: &str,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<PathBuf, HubError> {
        self.fetch_or_cached(id, revision, FileSet::Model, progress)
    }

    /// Downloads a model by a source that may be its name on the hub, at the revision `main`, and returns its path.
    /// `None` if the source does not have the form of a name.
    ///
    /// # Errors
    /// As [`fetch_model`](Self::fetch_model).
    pub fn fetch_by_name(
        &self,
        source: &str,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<Option<PathBuf>, HubError> {
        let Some(id) = ModelId::from_source(source)? else { return Ok(None) };
        self.fetch_model(&id, "main", progress).map(Some)
    }

    /// The same of a model's tokenizer alone: a folder with its files, or the GGUF file that carries it.
    ///
    /// # Errors
    /// The same, and if the model comes without a tokenizer.
    pub fn fetch_tokenizer(
        &self,
        id: &ModelId,
        revision: &str,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<PathBuf, HubError> {
        self.fetch_or_cached(id, revision, FileSet::Tokenizer, progress)
    }

    fn fetch_or_cached(
        &self,
        id: &ModelId,
        revision: &str,
        part: FileSet,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<PathBuf, HubError> {
        id::check_revision(revision)?;
        let known = || cache::cached_path(&self.cache, id, revision, part);
        if self.offline {
            let offline =
                || HubError::Offline { id: id.repo.clone(), revision: revision.into(), cache: self.cache.clone() };
            return known().ok_or_else(offline);
        }
        match self.fetch(id, revision, part, progress) {
            Err(error @ HubError::Unreachable { .. }) => known().ok_or(error),
            other => other,
        }
    }

    fn fetch(
        &self,
        id: &ModelId,
        revision: &str,
        part: FileSet,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<PathBuf, HubError> {
        let client = http::Client::new(self);
        let list = client.list_files(id, revision)?;
        let snapshot = Snapshot::new(&self.cache, &id.repo, revision, &list.commit);
        let mut get = |file: &str| fetch::fetch_file(&client, &snapshot, id, file, progress);
        let missing = |what: &str| HubError::NotFound {
            id: id.repo.clone(),
            revision: revision.into(),
            requested: what.into(),
            status: None,
        };
        if let Some(file) = &id.file {
            let listed = list.files.iter().find(|listed| *listed == file);
            let path = get(listed.ok_or_else(|| missing(file))?)?;
            snapshot.write_ref()?;
            return Ok(path);
        }
        if part == FileSet::Tokenizer {
            let files = file_selection::tokenizer_files(&list.files);
            if files.is_empty() {
                return Err(missing("tokenizer"));
            }
            files.into_iter().try_for_each(|file| get(file).map(drop))?;
            // Without the hub, a whole model of an older commit is worth more than the newest tokenizer.
            if cache::cached_path(&self.cache, id, revision, FileSet::Model).is_none() {
                snapshot.write_ref()?;
            }
            return Ok(snapshot.folder().into());
        }
        for file in file_selection::config_files(&list.files) {
            get(file)?;
        }
        let read = |file: &str| read_json(&snapshot.folder().join(file));
        let index = file_selection::weights_index(&list.files).map(read).transpose()?;
        let weights = file_selection::weight_files(&list.files, index.as_ref());
        if weights.is_empty() {
            return Err(missing("weights, neither safetensors nor pytorch_model.bin,"));
        }
        let modules = list.files.iter().any(|file| file == "modules.json").then(|| read("modules.json")).transpose()?;
        let modules = modules.map_or_else(Vec::new, |modules| file_selection::module_files(&list.files, &modules));
        // Weights last: where they are, the rest is.
        for file in modules.into_iter().chain(weights) {
            get(file)?;
        }
        snapshot.write_ref()?;
        Ok(snapshot.folder().into())
    }
}

/// How much of a model is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileSet {
    Model,
    Tokenizer,
}

/// What the hub's own library takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

fn read_json(path: &Path) -> Result<Value, HubError> {
    let text = std::fs::read(path).map_err(HubError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| HubError::io(path)(error.into()))
}
