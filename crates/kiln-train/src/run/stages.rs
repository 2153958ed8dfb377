//! The stages of a run, from its beginning or from a checkpoint.

use super::{
    Environment, RunContext, RunOutcome,
    corpora::Corpora,
    data_settings,
    epochs::resolve_epochs,
    frozen::{self, FrozenStage},
    setup::{init_models, prepare_tokenizer, set_stage_adapter},
    stage_run::{StageOutcome, StageRun},
};
use crate::{
    Recipe, RunFolderError, TrainError,
    run_folder::{MetricsLog, ResumePoint, RunFolder, is_early_event},
};
use kiln_data::DataError;
use std::sync::atomic::Ordering;

/// Runs all stages. A run that is stopped while it reads data has the outcome of its last checkpoint.
pub(super) async fn run_until_stopped(
    mut recipe: Recipe,
    folder: &RunFolder,
    context: RunContext<'_>,
    environment: &Environment<'_>,
    resume_point: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    match run_stages(&mut recipe, folder, context, environment, resume_point).await {
        Err(TrainError::Data(DataError::Stopped { .. })) => {}
        result => return result,
    }
    let (index, step) = folder.newest_checkpoint(&recipe)?.map_or((0, 0), |(stage, step)| (stage.index, step));
    let steps = recipe.stages.get(index).map_or(0, |stage| stage.steps);
    Ok(RunOutcome { folder: folder.root().to_owned(), steps: (step, steps), interrupted: true })
}

/// Runs the stages from that of `resume_point` on, or all.
async fn run_stages(
    recipe: &mut Recipe,
    folder: &RunFolder,
    context: RunContext<'_>,
    environment: &Environment<'_>,
    mut resume_point: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    let (objectives, runtime) = (environment.objectives, environment.runtime);
    let stop = || context.stop_flag.load(Ordering::Relaxed);
    let tokenizer = prepare_tokenizer(recipe, folder, runtime, &stop, context.listener).await?;
    let mut corpora = Corpora::default();
    resolve_epochs(recipe, &tokenizer, folder, &mut corpora, runtime, &stop, context.listener).await?;
    let recipe = &*recipe;
    let first = resume_point.as_ref().map_or(0, |point| point.stage.index);
    // Examples that fit into no row are found before the weights are loaded.
    let first_data = recipe.stages.get(first).map(|stage| stage.data_config(recipe));
    if let Some(data) = first_data.filter(|data| data.names_examples()) {
        let corpus = corpora.get(data, &tokenizer, folder, runtime, &stop, context.listener).await?;
        data_settings::check_lengths(&recipe.stages[first], &corpus, recipe.seed, &mut ())?;
    }
    // A resumed run may have all that it needs of a frozen model, and then does not read it again.
    if resume_point.is_none() {
        frozen::check_frozen_models(recipe, &tokenizer, objectives)?;
    }
    let mut models = init_models(recipe, &tokenizer, &context.device, resume_point.is_some())?;
    let mut log = open_metrics_log(recipe, folder, resume_point.as_ref(), runtime.unix_time())?;
    let mut outcome = RunOutcome { folder: folder.root().to_owned(), steps: (0, 0), interrupted: false };
    let mut tokens = 0;
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        if index > first && stop() {
            outcome.interrupted = true;
            break;
        }
        let data = config.data_config(recipe);
        let corpus = corpora.get(data, &tokenizer, folder, runtime, &stop, context.listener).await?;
        corpora.retain(|data| recipe.stages[index..].iter().any(|stage| stage.data_config(recipe) == data));
        let objective = objectives(config);
        data_settings::check_required_texts(&*objective, &corpus, index, context.listener)?;
        data_settings::check_lengths(config, &corpus, recipe.seed, context.listener)?;
        let stage_folder = folder.stage(index, &config.name);
        // Before the first stage, the model has adapters only if that stage continues to train them.
        if index > 0 || models.policy.adapters().is_empty() {
            models.policy = set_stage_adapter(models.policy, config, recipe.seed)?;
        }
        let device = &context.device;
        let is_resumed = resume_point.is_some();
        let mut stage = StageRun::new(recipe, stage_folder, corpus, &tokenizer, objective, runtime);
        stage.tokens = tokens;
        let frozen_stage = FrozenStage { recipe, folder, tokenizer: &tokenizer, device, index, is_resumed };
        models.frozen = frozen_stage.build(&*stage.objective, &models, stage.read_precomputed()?)?;
        if let Some(point) = resume_point.take() {
            models = stage.restore(models, point, &context.device)?;
        }
        models = stage.precompute(models, context.stop_flag, context.listener).await?;
        let stage_outcome;
        (models, stage_outcome) = stage.train(models, &mut log, context.stop_flag, context.listener).await?;
        outcome.steps = (stage.steps_done(), config.steps);
        tokens = stage.tokens();
        if stage_outcome == StageOutcome::Interrupted {
            outcome.interrupted = true;
            break;
        }
    }
    Ok(outcome)
}

/// The metrics file without the rows after the checkpoint, and its copies in other formats. Without a checkpoint only earlier
/// events are kept: the evaluation before the first step is repeated.
fn open_metrics_log(
    recipe: &Recipe,
    folder: &RunFolder,
    resume_point: Option<&ResumePoint>,
    now: f64,
) -> Result<MetricsLog, RunFolderError> {
    let log = match resume_point {
        None => folder.metrics_file().retain(is_early_event)?,
        Some(point) => {
            let earlier_steps: u64 = recipe.stages.iter().take(point.stage.index).map(|stage| stage.steps).sum();
            let last_step = earlier_steps + point.checkpoint.state.step;
            folder.metrics_file().retain(|row| row.step() <= last_step)?
        }
    };
    log.with_copies(&recipe.log, now)
}
