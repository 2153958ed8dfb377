//! Checkpoints of a run as models.

use super::ModelSource;
use crate::{
    TrainError,
    run::{CheckpointChoice, LoadedRun, RunCheckpoint, split_checkpoint},
};
use kiln_pretrained::{Pretrained, files::GENERATION_CONFIG_FILE};
use std::path::{Path, PathBuf};

impl ModelSource {
    /// Opens a checkpoint of a run by `RUN@STEP`, `RUN@best` or `RUN@last`; `None` for any other path.
    ///
    /// # Errors
    /// If the part after `@` names no checkpoint of the run.
    pub fn run_checkpoint(path: &Path) -> Result<Option<Self>, TrainError> {
        let Some((folder, checkpoint)) = split_checkpoint(path)? else { return Ok(None) };
        RunCheckpoint::find(&folder, checkpoint)?;
        Ok(Some(Self::Run { folder, checkpoint, adapters: Vec::new() }))
    }

    /// Finds the checkpoint that is loaded, if the base model is a run.
    ///
    /// # Errors
    /// If the run has no such checkpoint.
    pub fn checkpoint(&self) -> Result<Option<RunCheckpoint>, TrainError> {
        match self {
            Self::Run { folder, checkpoint, .. } => RunCheckpoint::find(folder, *checkpoint).map(Some),
            Self::Pretrained(_) => Ok(None),
        }
    }

    /// The path that opens this model again: that of [`path`](Self::path), with `@` and the checkpoint if it is not the
    /// best one of a run.
    pub fn address(&self) -> PathBuf {
        match self {
            Self::Run { folder, checkpoint, adapters } if adapters.is_empty() => {
                let mut address = folder.clone().into_os_string();
                match checkpoint {
                    CheckpointChoice::Best => {}
                    CheckpointChoice::Last => address.push("@last"),
                    CheckpointChoice::Step(step) => address.push(format!("@{step}")),
                }
                address.into()
            }
            _ => self.path().to_owned(),
        }
    }

    /// The parts of a loaded run, with adapter folders applied, as those of a pretrained model.
    pub(super) fn load_run(
        &self,
        folder: &Path,
        loaded: LoadedRun,
        adapters: &[PathBuf],
    ) -> Result<Pretrained, TrainError> {
        let config_file = folder.join(GENERATION_CONFIG_FILE);
        let generation = loaded.generation_settings(self.stop_token_ids()?, self.generation_config()?, config_file);
        let (chat_template, chat_template_error) = match self.chat_template() {
            Ok(template) => (template, None),
            Err(TrainError::Data(error)) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        Ok(Pretrained {
            model: self.adapted_run(loaded.model, adapters)?,
            tokenizer: loaded.tokenizer,
            chat_template,
            chat_template_error,
            generation,
        })
    }
}
