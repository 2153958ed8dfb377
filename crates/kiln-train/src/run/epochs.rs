//! Stages whose length is given in epochs: the number of steps follows from the packed training data.
//!
//! It is computed once, before the first step of the run, and written into the recipe of the run, so that schedules,
//! intervals and a resumed run depend on nothing else.

use super::{corpora::Corpora, environment::Runtime, progress::ProgressListener};
use crate::{Recipe, TrainError, run_folder::RunFolder, storage::write_atomic};
use kiln_data::{Packer, StopSignal, Tokenizer};
use kiln_spec::config::ConfigError;

/// Computes the number of steps of all stages that have only `epochs`, and saves the recipe if there are any.
///
/// # Errors
/// If the data cannot be read, or the schedule does not fit into the stage.
pub(super) async fn resolve_epochs(
    recipe: &mut Recipe,
    tokenizer: &Tokenizer,
    folder: &RunFolder,
    corpora: &mut Corpora,
    runtime: &dyn Runtime,
    stop: StopSignal<'_>,
    listener: &mut dyn ProgressListener,
) -> Result<(), TrainError> {
    if !recipe.stages.iter().any(|stage| stage.is_length_unknown()) {
        return Ok(());
    }
    for index in 0..recipe.stages.len() {
        let stage = &recipe.stages[index];
        let Some(epochs) = stage.epochs.filter(|_| stage.is_length_unknown()) else { continue };
        let corpus = corpora.get(stage.data_config(recipe), tokenizer, folder, runtime, stop, listener).await?;
        let rows = Packer::training(corpus, stage.row_size(), recipe.seed)?.num_rows();
        let stage = &mut recipe.stages[index];
        stage.set_steps(steps_of_epochs(epochs, rows, stage.batch_size));
        stage.check(&recipe.model, &format!("stages[{index}]")).map_err(ConfigError::from)?;
    }
    Ok(write_atomic(folder.storage(), &folder.recipe(), recipe.to_toml().as_bytes())?)
}

/// Number of steps that take `epochs` passes over `rows` rows, `batch_size` rows a step; the last step may go beyond.
fn steps_of_epochs(epochs: f64, rows: usize, batch_size: usize) -> u64 {
    // The margin keeps a product such as 0.1 · 30 from being rounded up.
    ((epochs * rows as f64 / batch_size as f64 - 1e-9).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_completes_the_last_epoch() {
        assert_eq!(steps_of_epochs(1.0, 12, 4), 3);
        assert_eq!(steps_of_epochs(3.0, 13, 4), 10);
        assert_eq!(steps_of_epochs(0.1, 30, 1), 3);
        assert_eq!(steps_of_epochs(0.001, 10, 4), 1);
    }
}
