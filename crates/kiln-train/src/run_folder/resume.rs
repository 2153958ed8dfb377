//! The checkpoint from which a run is resumed.
use super::{RunFolder, StageFolder};
use crate::Recipe;
use crate::checkpoint::{Checkpoint, Fingerprints};
use crate::run_folder_error::RunFolderError;

/// The checkpoint from which a run is resumed.
#[derive(Clone, Debug)]
pub struct ResumePoint {
    /// The stage of the checkpoint.
    pub stage: StageFolder,
    /// The checkpoint, verified.
    pub checkpoint: Checkpoint,
}

impl RunFolder {
    /// The last checkpoint of the last stage of `recipe` that has one, with all its files verified; none if the run has no
    /// checkpoint and starts at step 0. Incomplete writes of killed processes are undone first.
    ///
    /// # Errors
    /// If the checkpoint is damaged: an older one is not used instead.
    pub fn find_resume_point(&self, recipe: &Recipe) -> Result<Option<ResumePoint>, RunFolderError> {
        for stage in self.stages(recipe) {
            stage.checkpoints().recover()?;
        }
        let Some((stage, step)) = self.newest_checkpoint(recipe)? else { return Ok(None) };
        let checkpoint = stage.checkpoints().load(step)?;
        Ok(Some(ResumePoint { stage, checkpoint }))
    }
}

impl ResumePoint {
    /// Checks that recipe, tokenizer and corpus are those that the checkpoint was saved with.
    ///
    /// # Errors
    /// [`RunFolderError::FingerprintMismatch`] for the first that differs.
    pub fn check_fingerprints(&self, now: &Fingerprints) -> Result<(), RunFolderError> {
        let state = &self.checkpoint.state;
        match state.fingerprints.first_mismatch(now) {
            None => Ok(()),
            Some((part, saved, current)) => Err(RunFolderError::FingerprintMismatch {
                folder: self.stage.checkpoints().folder(state.step),
                part,
                saved_fingerprint: saved.to_owned(),
                found_fingerprint: current.to_owned(),
            }),
        }
    }
}
