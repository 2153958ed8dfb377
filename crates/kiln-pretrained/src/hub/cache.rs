//! The cache: `models--owner--name/{blobs, refs, snapshots}`. `blobs` has files by their hashes, `snapshots/COMMIT` links to
//! them under their names, and `refs/BRANCH` has the commit of a branch.

use super::{FileSet, HubError, ModelId, file_selection, id, read_json};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One commit of a model in the cache.
pub(super) struct Snapshot {
    repo: CacheRepo,
    folder: PathBuf,
    commit: String,
    revision: String,
}

/// The cache of a model, with the library's knowledge of its layout.
fn cache_repo(cache: &Path, model: &str, revision: &str) -> CacheRepo {
    Cache::new(cache.into()).repo(Repo::with_revision(model.into(), RepoType::Model, revision.into()))
}

impl Snapshot {
    /// The snapshot of `commit`, which `revision` is at the moment. Nothing is created on disk.
    pub fn new(cache: &Path, model: &str, revision: &str, commit: &str) -> Self {
        let repo = cache_repo(cache, model, revision);
        Self { folder: repo.pointer_path(commit), repo, commit: commit.into(), revision: revision.into() }
    }

    /// The hash of the commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The folder with the model's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the blobs.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("../../blobs")
    }

    /// Makes `file` of the snapshot a link to a blob, and returns its path.
    pub fn link(&self, file: &str, blob: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join(file);
        let linked = fs::create_dir_all(path.parent().expect("a file in a folder")).and_then(|()| {
            let target = format!("{}../../blobs/{blob}", "../".repeat(file.matches('/').count()));
            link(&target, &self.blobs().join(blob), &path)
        });
        linked.map_err(HubError::io(&path))?;
        Ok(path)
    }

    /// Writes the commit of the revision. Called when all requested files are in the snapshot.
    pub fn write_ref(&self) -> Result<(), HubError> {
        if self.revision == self.commit {
            return Ok(());
        }
        self.repo.create_ref(&self.commit).map_err(HubError::io(&self.folder))
    }
}

/// Creates a symbolic link, and replaces an existing one.
#[cfg(unix)]
fn link(target: &str, _blob: &Path, path: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            std::os::unix::fs::symlink(target, path)
        }
        created => created,
    }
}

/// Creates a hard link, or a copy where the file system has no links.
#[cfg(not(unix))]
fn link(_target: &str, blob: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
}

/// Returns the path of a revision in the cache, if the cache has all files of `file_set`: for a model its configuration
/// and all weights, for a tokenizer a file with its vocabulary, for a GGUF file that file.
pub(super) fn cached_path(cache: &Path, id: &ModelId, revision: &str, file_set: FileSet) -> Option<PathBuf> {
    let repo = cache_repo(cache, &id.repo, revision);
    let ref_file = repo.pointer_path("x").parent()?.parent()?.join("refs").join(revision);
    // Without a ref, the revision is a commit.
    let commit = fs::read_to_string(ref_file).unwrap_or_else(|_| revision.to_string());
    let commit = commit.trim();
    if !id::is_commit_hash(commit) {
        return None;
    }
    let folder = repo.pointer_path(commit);
    let is_complete = match (&id.file, file_set) {
        (Some(file), _) => {
            let has_all = file_selection::gguf_files(file).iter().all(|part| folder.join(part).is_file());
            return has_all.then(|| folder.join(file));
        }
        (None, FileSet::Tokenizer) => !file_selection::tokenizer_files(&file_names(&folder)).is_empty(),
        (None, FileSet::Model) => has_weights(&folder),
    };
    is_complete.then_some(folder)
}

/// The names of the files in a folder, without those in subfolders.
fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Whether a folder has `config.json` and all weights, with every shard that an index lists.
fn has_weights(folder: &Path) -> bool {
    let files = file_names(folder);
    let index = file_selection::weights_index(&files).and_then(|index| read_json(&folder.join(index)).ok());
    let weights = file_selection::weight_files(&files, index.as_ref());
    let weight_map = index.as_ref().and_then(|index| index.get("weight_map")?.as_object());
    let has_shards = weight_map.is_none_or(|map| map.values().all(|file| weights.iter().any(|found| file == found)));
    let has_config = folder.join("config.json").is_file();
    has_config && has_shards && !weights.is_empty() && weights.iter().all(|file| folder.join(file).is_file())
}
