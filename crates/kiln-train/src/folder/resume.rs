//! Where a run goes on.
use super::{RunFolder, Stage};
use crate::Recipe;
use crate::checkpoint::{Checkpoint, Fingerprints};
use crate::error::RunError;

/// The checkpoint that a run goes on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The stage that it belongs to.
    pub stage: Stage,
    /// The verified checkpoint.
    pub checkpoint: Checkpoint,
}

impl RunFolder {
    /// The newest checkpoint of the last stage of `recipe` that has one, each of its files verified; none if the run saved nothing
    /// yet and starts at step 0. A damaged checkpoint is an error, never passed over for an older one.
    ///
    /// What killed processes left half done is undone first.
    pub fn resume(&self, recipe: &Recipe) -> Result<Option<Found>, RunError> {
        for stage in self.stages(recipe) {
            stage.checkpoints().start()?;
        }
        let Some((stage, step)) = self.newest(recipe)? else { return Ok(None) };
        let checkpoint = stage.checkpoints().load(step)?;
        Ok(Some(Found { stage, checkpoint }))
    }
}

impl Found {
    /// Refuses to go on with another recipe, tokenizer or corpus than the checkpoint was saved with.
    pub fn check(&self, now: &Fingerprints) -> Result<(), RunError> {
        let state = &self.checkpoint.state;
        match state.fingerprints.difference(now) {
            None => Ok(()),
            Some((what, saved, found)) => Err(RunError::Mismatch {
                folder: self.stage.checkpoints().folder(state.step),
                what,
                saved: saved.to_owned(),
                found: found.to_owned(),
            }),
        }
    }
}
