//! Models from the Hugging Face hub, in the cache that the Python libraries use too.
//!
//! The layout of the cache is that of `huggingface_hub`: `models--owner--name/{blobs, refs, snapshots}`. Downloads resume
//! where they broke off. A file gets its name only after its length, and for large files its SHA-256, matched what the
//! hub announced. File names from the hub are checked before they become paths.
//!
//! [`Hub::from_env`] reads the same environment variables as the Python libraries; `HTTPS_PROXY` is honored too.
//!
//! ```no_run
//! use kiln_pretrained::hub::{Hub, ModelId};
//!
//! let id = ModelId::parse("HuggingFaceTB/SmolLM2-135M-Instruct")?;
//! let folder = Hub::from_env().fetch_model(&id, "main", &mut |progress| eprintln!("{progress:?}"))?;
//! # Ok::<(), kiln_pretrained::hub::HubError>(())
//! ```

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
use file_selection::{config_files, module_files, tokenizer_files, weight_files, weights_index};
use http::{Client, RepoFiles};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Address, cache and credentials of the hub.
#[derive(Clone)]
pub struct Hub {
    /// The address without a slash at the end: `https://huggingface.co`.
    pub endpoint: String,
    /// The folder of the cache, by default `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// The user's access token. It is sent to `endpoint` and to no other server.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
}

/// Progress of the download of one file.
#[derive(Clone, Copy, Debug)]
pub struct DownloadProgress<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// Bytes that were received, those of earlier attempts included.
    pub received: u64,
    /// Size of the file in bytes.
    pub total: u64,
}

/// A function that is called with the progress of downloads, several times a second.
type ProgressFn<'a> = dyn FnMut(DownloadProgress) + 'a;

/// Which files of a model are downloaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileSet {
    Model,
    Tokenizer,
}

impl Hub {
    /// Reads the configuration from the environment:
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HF_ENDPOINT` | address of the hub |
    /// | `HF_HUB_CACHE`, else `HF_HOME`/hub, else `XDG_CACHE_HOME`/huggingface/hub | the cache |
    /// | `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else the file `HF_HOME`/token | the access token |
    /// | `HF_HUB_OFFLINE` | 1, true, yes or on: use the cache only |
    pub fn from_env() -> Self {
        let cache_home = env_var("XDG_CACHE_HOME").map(PathBuf::from);
        let cache_home = cache_home.or_else(|| Some(env::home_dir()?.join(".cache")));
        let hf_home = env_var("HF_HOME").map(PathBuf::from);
        let hf_home = hf_home.unwrap_or_else(|| cache_home.unwrap_or_else(env::temp_dir).join("huggingface"));
        let token_path = env_var("HF_TOKEN_PATH").map_or_else(|| hf_home.join("token"), PathBuf::from);
        let token = env_var("HF_TOKEN").or_else(|| std::fs::read_to_string(token_path).ok());
        let endpoint = env_var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            cache: env_var("HF_HUB_CACHE").map_or_else(|| hf_home.join("hub"), PathBuf::from),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            offline: env_var("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }

    /// Downloads a model and returns the folder with its files, or the path of the GGUF file that `id` names. Files in the
    /// cache are not downloaded again. If the hub cannot be reached, a complete model of this revision in the cache is
    /// returned. `revision` is a branch, a tag or a commit.
    ///
    /// # Errors
    /// If the hub has no such model, the user may not read it, or it can neither be downloaded nor found in the cache.
    pub fn fetch_model(&self, id: &ModelId, revision: &str, progress: &mut ProgressFn) -> Result<PathBuf, HubError> {
        self.fetch_or_cached(id, revision, FileSet::Model, progress)
    }

    /// Downloads a model by a source that may be its name on the hub, at the revision `main`, and returns its path.
    /// `None` if the source does not have the form of a name.
    ///
    /// # Errors
    /// As [`fetch_model`](Self::fetch_model).
    pub fn fetch_by_name(&self, source: &str, progress: &mut ProgressFn) -> Result<Option<PathBuf>, HubError> {
        let Some(id) = ModelId::from_source(source)? else { return Ok(None) };
        self.fetch_model(&id, "main", progress).map(Some)
    }

    /// Downloads a model's tokenizer without its weights, and returns the folder with its files, or the path of the GGUF
    /// file that `id` names.
    ///
    /// # Errors
    /// As [`fetch_model`](Self::fetch_model), and if the model has no tokenizer.
    pub fn fetch_tokenizer(
        &self,
        id: &ModelId,
        revision: &str,
        progress: &mut ProgressFn,
    ) -> Result<PathBuf, HubError> {
        self.fetch_or_cached(id, revision, FileSet::Tokenizer, progress)
    }

    fn fetch_or_cached(
        &self,
        id: &ModelId,
        revision: &str,
        file_set: FileSet,
        progress: &mut ProgressFn,
    ) -> Result<PathBuf, HubError> {
        id::check_revision(revision)?;
        let cached = || cache::cached_path(&self.cache, id, revision, file_set);
        if self.offline {
            return cached().ok_or_else(|| HubError::Offline {
                id: id.repo.clone(),
                revision: revision.into(),
                cache: self.cache.clone(),
            });
        }
        match self.fetch(id, revision, file_set, progress) {
            Err(error @ HubError::Unreachable { .. }) => cached().ok_or(error),
            other => other,
        }
    }

    fn fetch(
        &self,
        id: &ModelId,
        revision: &str,
        file_set: FileSet,
        progress: &mut ProgressFn,
    ) -> Result<PathBuf, HubError> {
        let client = Client::new(self);
        let listed = client.list_files(id, revision)?;
        let snapshot = Snapshot::new(&self.cache, &id.repo, revision, &listed.commit);
        let mut download = Download { client, snapshot, id, revision, listed, progress };
        match (&id.file, file_set) {
            (Some(file), _) => download.single_file(file),
            (None, FileSet::Tokenizer) => {
                let folder = download.tokenizer()?;
                // Offline, a complete model of an older commit is worth more than the newest tokenizer.
                if cache::cached_path(&self.cache, id, revision, FileSet::Model).is_none() {
                    download.snapshot.write_ref()?;
                }
                Ok(folder)
            }
            (None, FileSet::Model) => download.model(),
        }
    }
}

/// The download of files of one commit.
struct Download<'a> {
    client: Client<'a>,
    snapshot: Snapshot,
    id: &'a ModelId,
    revision: &'a str,
    listed: RepoFiles,
    progress: &'a mut ProgressFn<'a>,
}

impl Download<'_> {
    /// Downloads the listed files that `select` returns.
    fn get_all(&mut self, select: impl Fn(&[String]) -> Vec<&str>) -> Result<(), HubError> {
        for file in select(&self.listed.files) {
            fetch::fetch_file(&self.client, &self.snapshot, self.id, file, self.progress)?;
        }
        Ok(())
    }

    /// Downloads a GGUF file, with the other parts if it is a part of a split model.
    fn single_file(&mut self, file: &str) -> Result<PathBuf, HubError> {
        let parts = file_selection::gguf_files(file);
        if let Some(missing) = parts.iter().find(|part| !self.listed.files.contains(part)) {
            return Err(self.missing(missing));
        }
        for part in &parts {
            fetch::fetch_file(&self.client, &self.snapshot, self.id, part, self.progress)?;
        }
        self.snapshot.write_ref()?;
        Ok(self.snapshot.folder().join(file))
    }

    fn tokenizer(&mut self) -> Result<PathBuf, HubError> {
        if tokenizer_files(&self.listed.files).is_empty() {
            return Err(self.missing("tokenizer"));
        }
        self.get_all(tokenizer_files)?;
        Ok(self.snapshot.folder().into())
    }

    /// Downloads configuration and tokenizer, then the modules of a sentence encoder, then the weights: a folder with
    /// weights is complete.
    fn model(&mut self) -> Result<PathBuf, HubError> {
        self.get_all(config_files)?;
        let index = weights_index(&self.listed.files).map(|file| self.read_json(file)).transpose()?;
        if weight_files(&self.listed.files, index.as_ref()).is_empty() {
            return Err(self.missing("weights, neither safetensors nor pytorch_model.bin,"));
        }
        if self.listed.files.iter().any(|file| file == "modules.json") {
            let modules = self.read_json("modules.json")?;
            self.get_all(|files| module_files(files, &modules))?;
        }
        self.get_all(|files| weight_files(files, index.as_ref()))?;
        self.snapshot.write_ref()?;
        Ok(self.snapshot.folder().into())
    }

    /// Reads a downloaded JSON file.
    fn read_json(&self, file: &str) -> Result<Value, HubError> {
        read_json(&self.snapshot.folder().join(file))
    }

    fn missing(&self, requested: &str) -> HubError {
        HubError::NotFound {
            id: self.id.repo.clone(),
            revision: self.revision.into(),
            requested: requested.into(),
            status: None,
        }
    }
}

/// The value of an environment variable that is set and not empty.
fn env_var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether `huggingface_hub` takes the value of a variable for true.
fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

fn read_json(path: &Path) -> Result<Value, HubError> {
    let text = std::fs::read(path).map_err(HubError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| HubError::io(path)(error.into()))
}
