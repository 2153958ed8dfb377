//! Paths of the files in a run folder.
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_data::{DataError, file_set::FileSet};

use crate::Recipe;
use crate::checkpoint::Checkpoints;
use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, file_names};

use super::MetricsFile;

/// Paths of the files of a run, in a storage. They can be read without a lock, also while the run is training.
#[derive(Clone, Debug)]
pub struct RunPaths {
    storage: Arc<dyn Storage>,
    root: PathBuf,
}

/// The folder of one stage of a run.
#[derive(Clone, Debug)]
pub struct StageFolder {
    storage: Arc<dyn Storage>,
    /// Index of the stage in the recipe, from 0.
    pub index: usize,
    /// Name of the stage as a part of a path.
    pub name: String,
    /// Path of the folder, such as `stages/0-pretrain` in the run folder.
    pub path: PathBuf,
}

impl StageFolder {
    /// The checkpoints of the stage.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new_in(self.storage.clone(), self.path.join("checkpoints"))
    }

    /// Where the files of the stage are kept.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }
}

impl RunPaths {
    /// The run at `path` on disk, which must have a `recipe.toml`.
    ///
    /// # Errors
    /// [`RunFolderError::NotRunFolder`] with what is there instead.
    #[cfg(feature = "files")]
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        Self::open_in(crate::storage::DiskStorage::shared(), path)
    }

    /// The run at `path` of a storage, which must have a `recipe.toml`.
    ///
    /// # Errors
    /// [`RunFolderError::NotRunFolder`] with what is there instead.
    pub fn open_in(storage: Arc<dyn Storage>, path: &Path) -> Result<Self, RunFolderError> {
        let paths = Self::new(storage, path);
        let storage = paths.storage();
        if storage.is_file(&paths.recipe()) {
            return Ok(paths);
        }
        let found = match (storage.exists(path), storage.is_folder(path)) {
            (false, _) => "nothing".to_owned(),
            (true, false) => "a file".to_owned(),
            (true, true) => describe_entries(&file_names(storage, path)?),
        };
        Err(RunFolderError::NotRunFolder { path: path.to_owned(), found })
    }

    pub(super) fn new(storage: Arc<dyn Storage>, path: &Path) -> Self {
        Self { storage, root: path.to_owned() }
    }

    /// Where the files of the run are kept.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The run folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `recipe.toml`: the recipe, with all defaults.
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    /// `tokenizer.json`: the tokenizer of the run.
    pub fn tokenizer(&self) -> PathBuf {
        self.root.join("tokenizer.json")
    }

    /// `tokenizer_config.json`: the chat template, if the run started from a model that has one.
    pub fn tokenizer_config(&self) -> PathBuf {
        self.root.join("tokenizer_config.json")
    }

    /// `generation_config.json`: generation settings and the tokens that end a text, if the run started from a model with
    /// them.
    pub fn generation_config(&self) -> PathBuf {
        self.root.join("generation_config.json")
    }

    /// `metrics.jsonl`: the metrics, one row per line.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The metrics file, to read or write it.
    pub(crate) fn metrics_file(&self) -> MetricsFile {
        MetricsFile::new(self.storage.clone(), self.metrics())
    }

    /// `report.html`: the report page.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// `lock`: locked by the process that writes the run.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The folder of the stage with `index`, from 0, that is called `name` in the recipe.
    pub fn stage(&self, index: usize, name: &str) -> StageFolder {
        let name = slug(name);
        let path = self.root.join("stages").join(format!("{index}-{name}"));
        StageFolder { storage: self.storage.clone(), index, name, path }
    }

    /// The folders of those stages of `recipe` that have one, in order. Other folders are ignored.
    pub fn stages(&self, recipe: &Recipe) -> Vec<StageFolder> {
        let folders = recipe.stages.iter().enumerate().map(|(index, stage)| self.stage(index, &stage.name));
        folders.filter(|stage| self.storage().is_folder(&stage.path)).collect()
    }

    /// The last checkpoint of the last stage that has one, as stage and step.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn newest_checkpoint(&self, recipe: &Recipe) -> Result<Option<(StageFolder, u64)>, RunFolderError> {
        for stage in self.stages(recipe).into_iter().rev() {
            if let Some(step) = stage.checkpoints().newest_step()? {
                return Ok(Some((stage, step)));
            }
        }
        Ok(None)
    }
}

/// The files of the run folder itself.
impl FileSet for RunPaths {
    fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, DataError> {
        let path = self.location(name);
        match self.storage.read(&path) {
            Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataError::Io {
                path: path.display().to_string(),
                action: "read the file",
                reason: error.to_string(),
            }),
        }
    }

    fn location(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn folder(&self) -> PathBuf {
        self.root.clone()
    }
}

/// A name as one part of a path: letters, digits, `-`, `_` and inner dots stay, all other characters become `-`. An empty
/// result becomes `run`.
pub(crate) fn slug(name: &str) -> String {
    let slug = name.replace(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')), "-");
    let slug = slug.trim_matches(['.', '-']);
    if slug.is_empty() { "run".to_owned() } else { slug.to_owned() }
}

/// The entries of a folder for an error: at most three names.
pub(super) fn describe_entries(names: &[String]) -> String {
    match names {
        [] => "an empty folder".to_owned(),
        [_, _, _, _, ..] => {
            format!("a folder with {} and {} more", names[..2].join(", "), names.len() - 2)
        }
        _ => format!("a folder with {}", names.join(", ")),
    }
}
