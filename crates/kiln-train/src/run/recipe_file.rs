//! Recipe and metrics of a run, as its files hold them.

use crate::{Recipe, RunFolderError, TrainError, metrics::MetricsRow, run_folder::RunPaths};
use kiln_spec::config::ConfigErrorKind;

/// Reads the recipe of a run. Keys that an earlier Kiln wrote under old names are translated.
///
/// # Errors
/// If the folder holds no `recipe.toml`, or the recipe is invalid.
pub fn load_recipe(paths: &RunPaths) -> Result<Recipe, TrainError> {
    let (text, file) = read_recipe(paths)?;
    Ok(Recipe::load_saved(&text, Some(&file))?)
}

/// Reads the recipe of a run that is to be resumed. Old names are refused: the checkpoints hold the hash of the recipe as
/// it was written.
pub(super) fn load_own_recipe(paths: &RunPaths) -> Result<Recipe, TrainError> {
    let (text, file) = read_recipe(paths)?;
    let recipe = Recipe::load_unchanged(&text, Some(&file)).map_err(|mut error| {
        if let ConfigErrorKind::Renamed { advice, .. } = &mut *error.kind {
            let run = paths.root().display();
            *advice =
                Some(format!("this run cannot be resumed; to use its weights, start a new run with --from {run}"));
        }
        error
    });
    Ok(recipe?)
}

/// The text of a run's `recipe.toml`, and its path for errors.
fn read_recipe(paths: &RunPaths) -> Result<(String, String), TrainError> {
    let path = paths.recipe();
    let text = paths.storage().read_text(&path)?;
    Ok((text, path.display().to_string()))
}

/// Reads the metrics of a run.
///
/// # Errors
/// If the file cannot be read, or a line is not a valid row.
pub fn load_metrics(paths: &RunPaths) -> Result<Vec<MetricsRow>, RunFolderError> {
    paths.metrics_file().read()
}
