//! The cache: `models--owner--name/{blobs, refs, snapshots}`. Blobs are files by their hashes, snapshots are folders of
//! links to them by commit, refs say which commit a branch was.

use super::{FileSet, HubError, ModelId, file_selection, id, read_json};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One commit of a model.
pub(super) struct Snapshot {
    repo: CacheRepo,
    folder: PathBuf,
    commit: String,
    revision: String,
}

fn repo(cache: &Path, model: &str, revision: &str) -> CacheRepo {
    Cache::new(cache.into()).repo(Repo::with_revision(model.into(), RepoType::Model, revision.into()))
}

impl Snapshot {
    pub fn new(cache: &Path, model: &str, revision: &str, commit: &str) -> Self {
        let repo = repo(cache, model, revision);
        Self { folder: repo.pointer_path(commit), repo, commit: commit.into(), revision: revision.into() }
    }

    pub fn commit(&self) -> &str {
        &self.commit
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of blobs.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("../../blobs")
    }

    /// Makes a file of the snapshot a link to a blob.
    pub fn link(&self, file: &str, blob: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join(file);
        let made = fs::create_dir_all(path.parent().expect("a folder's file")).and_then(|()| {
            let target = format!("{}../../blobs/{blob}", "../".repeat(file.matches('/').count()));
            link(&target, &self.blobs().join(blob), &path)
        });
        made.map_err(HubError::io(&path))?;
        Ok(path)
    }

    /// Notes that the revision is this commit: all that is needed of it is here.
    pub fn write_ref(&self) -> Result<(), HubError> {
        if self.revision == self.commit {
            return Ok(());
        }
        self.repo.create_ref(&self.commit).map_err(HubError::io(&self.folder))
    }
}

#[cfg(unix)]
fn link(target: &str, _blob: &Path, path: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            std::os::unix::fs::symlink(target, path)
        }
        made => made,
    }
}

#[cfg(not(unix))]
fn link(_target: &str, blob: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
}

/// What the cache has of a revision, if that is enough.
pub(super) fn cached_path(cache: &Path, id: &ModelId, revision: &str, part: FileSet) -> Option<PathBuf> {
    let repo = repo(cache, &id.repo, revision);
    let by_ref = repo.pointer_path("x").parent()?.parent()?.join("refs").join(revision);
    let commit = fs::read_to_string(by_ref).map_or_else(|_| revision.to_string(), |commit| commit.trim().to_string());
    let folder = repo.pointer_path(&commit);
    if !id::is_commit_hash(&commit) {
        return None;
    }
    match &id.file {
        Some(file) => Some(folder.join(file)).filter(|path| path.is_file()),
        None if part == FileSet::Tokenizer => {
            (!file_selection::tokenizer_files(&file_names(&folder)).is_empty()).then_some(folder)
        }
        None => has_weights(&folder).then_some(folder),
    }
}

/// The files in a folder, not those in folders in it.
fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Whether all weights of a folder are there, and its configuration.
fn has_weights(folder: &Path) -> bool {
    let files = file_names(folder);
    let index = file_selection::weights_index(&files).and_then(|index| read_json(&folder.join(index)).ok());
    let found = file_selection::weight_files(&files, index.as_ref());
    let map = index.as_ref().and_then(|index| index.get("weight_map")?.as_object());
    let shards = map.is_none_or(|map| map.values().all(|file| found.iter().any(|found| file == found)));
    let config = folder.join("config.json").is_file();
    config && shards && !found.is_empty() && found.iter().all(|file| folder.join(file).is_file())
}
