//! Where things are in a run's folder.
use std::path::{Path, PathBuf};

use crate::Recipe;
use crate::checkpoint::Checkpoints;
use crate::checkpoint::atomic_write::file_names;
use crate::run_folder_error::RunFolderError;

/// The files of a run, by name. Needs no lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths {
    root: PathBuf,
}

/// One stage's place in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageFolder {
    /// Its place among the stages of the recipe, from 0.
    pub index: usize,
    /// Its name as it stands in the folder's.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
}

impl StageFolder {
    /// Its checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.path.join("checkpoints"))
    }
}

impl RunPaths {
    /// The run at `path`, which must hold a recipe.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let paths = Self::new(path);
        let found = match () {
            () if paths.recipe().is_file() => return Ok(paths),
            () if !path.exists() => "nothing".to_owned(),
            () if !path.is_dir() => "a file".to_owned(),
            () => describe_entries(&file_names(path)?),
        };
        Err(RunFolderError::NotRunFolder { path: path.to_owned(), found })
    }

    pub(super) fn new(path: &Path) -> Self {
        Self { root: path.to_owned() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The whole recipe.
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    /// The tokenizer that the run trained with.
    pub fn tokenizer(&self) -> PathBuf {
        self.root.join("tokenizer.json")
    }

    /// How a conversation becomes text, if the model that the run started from says.
    pub fn tokenizer_config(&self) -> PathBuf {
        self.root.join("tokenizer_config.json")
    }

    /// Which tokens end what is written, if the model that the run started from says.
    pub fn generation_config(&self) -> PathBuf {
        self.root.join("generation_config.json")
    }

    /// The metrics, one row a line.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The page about the run.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// The file whose lock says that a process writes here.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The place of stage `index`, from 0, called `name` in the recipe.
    pub fn stage(&self, index: usize, name: &str) -> StageFolder {
        let name = slug(name);
        let path = self.root.join("stages").join(format!("{index}-{name}"));
        StageFolder { index, name, path }
    }

    /// The stages of `recipe` that have a folder, in order. Whatever else lies there is none of the run's.
    pub fn stages(&self, recipe: &Recipe) -> Vec<StageFolder> {
        let all = recipe.stages.iter().enumerate().map(|(index, stage)| self.stage(index, &stage.name));
        all.filter(|stage| stage.path.is_dir()).collect()
    }

    /// The newest checkpoint of the last stage that has one.
    pub fn newest_checkpoint(&self, recipe: &Recipe) -> Result<Option<(StageFolder, u64)>, RunFolderError> {
        for stage in self.stages(recipe).into_iter().rev() {
            if let Some(step) = stage.checkpoints().newest_step()? {
                return Ok(Some((stage, step)));
            }
        }
        Ok(None)
    }
}

/// A name as part of a path: letters, digits, `-`, `_` and inner dots stay, everything else becomes `-`.
pub(super) fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let slug: String = name.chars().map(keep).collect();
    let slug = slug.trim_matches(['.', '-']);
    if slug.is_empty() { "run".to_owned() } else { slug.to_owned() }
}

/// What a folder holds, in a few words.
pub(super) fn describe_entries(names: &[String]) -> String {
    match names {
        [] => "an empty folder".to_owned(),
        [some @ .., _, _, _] if !some.is_empty() => {
            format!("a folder with {} and {} more", names[..2].join(", "), names.len() - 2)
        }
        _ => format!("a folder with {}", names.join(", ")),
    }
}
