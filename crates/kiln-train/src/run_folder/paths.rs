//! Paths of the files in a run folder.
use std::path::{Path, PathBuf};

use crate::Recipe;
use crate::checkpoint::Checkpoints;
use crate::checkpoint::atomic_write::file_names;
use crate::run_folder_error::RunFolderError;

/// Paths of the files of a run. They can be read without a lock, also while the run is training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths {
    root: PathBuf,
}

/// The folder of one stage of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageFolder {
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
        Checkpoints::new(self.path.join("checkpoints"))
    }
}

impl RunPaths {
    /// The run at `path`, which must have a `recipe.toml`.
    ///
    /// # Errors
    /// [`RunFolderError::NotRunFolder`] with what is there instead.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let paths = Self::new(path);
        if paths.recipe().is_file() {
            return Ok(paths);
        }
        let found = match (path.exists(), path.is_dir()) {
            (false, _) => "nothing".to_owned(),
            (true, false) => "a file".to_owned(),
            (true, true) => describe_entries(&file_names(path)?),
        };
        Err(RunFolderError::NotRunFolder { path: path.to_owned(), found })
    }

    pub(super) fn new(path: &Path) -> Self {
        Self { root: path.to_owned() }
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
        StageFolder { index, name, path }
    }

    /// The folders of those stages of `recipe` that have one, in order. Other folders are ignored.
    pub fn stages(&self, recipe: &Recipe) -> Vec<StageFolder> {
        let folders = recipe.stages.iter().enumerate().map(|(index, stage)| self.stage(index, &stage.name));
        folders.filter(|stage| stage.path.is_dir()).collect()
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

/// A name as one part of a path: letters, digits, `-`, `_` and inner dots stay, all other characters become `-`. An empty
/// result becomes `run`.
pub(super) fn slug(name: &str) -> String {
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
