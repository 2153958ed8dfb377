//! Where a run goes on.
use super::{RunFolder, StageFolder};
use crate::Recipe;
use crate::checkpoint::{Checkpoint, Fingerprints};
use crate::run_folder_error::RunFolderError;

/// The checkpoint that a run goes on from.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumePoint {
    /// The stage that it belongs to.
    pub stage: StageFolder,
    /// The verified checkpoint.
    pub checkpoint: Checkpoint,
}

impl RunFolder {
    /// The newest checkpoint of the last stage of `recipe` that has one, each of its files verified; none if the run saved nothing
    /// yet and starts at step 0. A damaged checkpoint is an error, never passed over for an older one.
    ///
    /// What killed processes left half done is undone first.
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
    /// Refuses to go on with another recipe, tokenizer or corpus than the checkpoint was saved with.
    pub fn check_fingerprints(&self, now: &Fingerprints) -> Result<(), RunFolderError> {
        let state = &self.checkpoint.state;
        match state.fingerprints.first_mismatch(now) {
            None => Ok(()),
            Some((what, saved, found)) => Err(RunFolderError::FingerprintMismatch {
                folder: self.stage.checkpoints().folder(state.step),
                part: what,
                saved_fingerprint: saved.to_owned(),
                found_fingerprint: found.to_owned(),
            }),
        }
    }
}
