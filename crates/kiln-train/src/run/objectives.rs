//! The objectives of a run: those that its recipe names, or others that are implemented in Rust.
//!
//! A run that a program starts with an objective of its own writes its name into the recipe, as
//! [`external_objective`](StageConfig::external_objective). Resuming it with anything else is refused.

use crate::{Objective, Recipe, StageConfig, objective::check_directions};
use kiln_spec::{ValidationError, config::ConfigError};

/// Makes the objective of a stage. It replaces the one in the recipe.
pub type ObjectiveFactory<'a> = &'a dyn Fn(&StageConfig) -> Box<dyn Objective>;

/// The objective that the stage names.
pub(super) fn recipe_objective(stage: &StageConfig) -> Box<dyn Objective> {
    stage.objective.build()
}

/// Writes the objectives of `factory` into the recipe of a new run, and checks that they can train the model.
///
/// # Errors
/// If an objective cannot train the model, or the recipe names an objective that `factory` does not make.
pub(super) fn record(recipe: &mut Recipe, factory: ObjectiveFactory) -> Result<(), ConfigError> {
    for index in 0..recipe.stages.len() {
        let stage = &recipe.stages[index];
        let objective = factory(stage);
        if stage.external_objective.is_some() {
            verify_stage(index, stage, &*objective)?;
        }
        match objective.config() {
            Some(config) => recipe.stages[index].objective = config,
            None => {
                let path = format!("stages[{index}].objective");
                check_directions(&*objective, &objective.name(), &recipe.model, &path)?;
                objective.check(&recipe.model, &path)?;
                recipe.stages[index].external_objective = Some(objective.name());
            }
        }
    }
    Ok(recipe.check()?)
}

/// Checks that `factory` makes the objectives that the run was started with.
///
/// # Errors
/// The first stage with another objective, by the names of both.
pub(super) fn verify(recipe: &Recipe, factory: ObjectiveFactory) -> Result<(), ConfigError> {
    let mut stages = recipe.stages.iter().enumerate();
    stages.try_for_each(|(index, stage)| verify_stage(index, stage, &*factory(stage)))
}

fn verify_stage(index: usize, stage: &StageConfig, found: &dyn Objective) -> Result<(), ConfigError> {
    let is_same = match &stage.external_objective {
        Some(name) => found.config().is_none() && found.name() == *name,
        None => found.config().as_ref() == Some(&stage.objective),
    };
    if is_same {
        return Ok(());
    }
    let found_name = found.name();
    let (path, reason, suggestion) = match &stage.external_objective {
        Some(name) => (
            format!("stages[{index}].external_objective"),
            format!("the run trains with the objective `{name}`, which is implemented in Rust; found `{found_name}`"),
            "run it in the program that defines this objective, with `kiln_train::run::start_with_objectives` and \
             `resume_with_objectives`",
        ),
        None => (
            format!("stages[{index}].objective"),
            format!(
                "the run was started with the objective `{}`; found `{found_name}`, or the same with other options",
                stage.objective.name()
            ),
            "resume the run with the objective of its recipe",
        ),
    };
    Err(ValidationError::new(path, reason).with_suggestion(suggestion).into())
}
