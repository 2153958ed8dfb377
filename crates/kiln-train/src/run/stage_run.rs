//! One stage of a run: the loop over its steps.

use super::{
    data, load_weights,
    progress::{ProgressEvent, ProgressListener},
    stage_output::emit,
};
use crate::{
    Models, Objective, Recipe, StageConfig, TrainError,
    checkpoint::{Checkpoint, Fingerprints, MODEL_FILE, TRAIN_FILE, sha256_hex},
    ema::WeightEma,
    evaluate::EvalSet,
    metrics::{EventKind, MetricsRow},
    objective::restart_positions,
    optimizer::Optimizer,
    run_folder::{MetricsLog, ResumePoint, StageFolder},
    state_dict::{load_optimizer_state, take_online_tensors},
    step::{compute_gradients_with, set_trainable},
};
use burn::tensor::Device;
use kiln_data::{Batch, Corpus, Packer, Prefetcher, Tokenizer};
use kiln_infer::block_on;
use kiln_spec::{Random, ValidationError, config::ConfigError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// It did all its steps.
    Completed,
    /// It was asked to stop.
    Interrupted,
}

/// A stage that runs.
pub struct StageRun<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) config: &'a StageConfig,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) built_in: bool,
    pub(super) folder: StageFolder,
    pub(super) corpus: Arc<Corpus>,
    pub(super) objective: Box<dyn Objective>,
    pub(super) optimizer: Optimizer,
    /// The running mean of the weights, from the first step on, if the stage wants one.
    pub(super) ema: Option<WeightEma>,
    pub(super) fingerprints: Fingerprints,
    pub(super) step: u64,
    /// Steps of the stages before this one: lines of metrics count over the whole run.
    pub(super) steps_before: u64,
    /// Tokens of the whole run.
    pub(super) tokens: u64,
    /// Seconds of earlier processes.
    pub(super) seconds_before: f64,
    pub(super) started_at: Instant,
    pub(super) last_saved: Option<u64>,
    /// Held-out text of the last validation, with the budget that it was taken for.
    pub(super) eval_set: Option<(u64, EvalSet)>,
}

impl<'a> StageRun<'a> {
    /// The stage of `recipe` at `place` before its first step; the stages before it saw so many `tokens`.
    pub fn new(
        recipe: &'a Recipe,
        place: StageFolder,
        corpus: Arc<Corpus>,
        tokenizer: &'a Tokenizer,
        objective: Box<dyn Objective>,
        tokens: u64,
    ) -> Self {
        let (before, config) = (&recipe.stages[..place.index], &recipe.stages[place.index]);
        let fingerprints = Fingerprints {
            recipe: sha256_hex(recipe.to_toml().as_bytes()),
            tokenizer: tokenizer.fingerprint(),
            corpus: corpus.training.fingerprint().to_string(),
        };
        Self {
            recipe,
            config,
            tokenizer,
            built_in: data::is_built_in(config.data_config(recipe)),
            folder: place,
            corpus,
            objective,
            optimizer: Optimizer::new(&config.optimizer),
            ema: None,
            fingerprints,
            step: 0,
            steps_before: before.iter().map(|stage| stage.steps).sum(),
            tokens,
            seconds_before: 0.0,
            started_at: Instant::now(),
            last_saved: None,
            eval_set: None,
        }
    }

    /// Tokens that the run was trained on.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// As it was at a checkpoint.
    pub fn restore(&mut self, models: Models, found: ResumePoint, device: &Device) -> Result<Models, TrainError> {
        found.check_fingerprints(&self.fingerprints)?;
        let Checkpoint { state, model_tensors: model, training_tensors: mut train } = found.checkpoint;
        let folder = self.folder.checkpoints().folder(state.step);
        let mut models = Models { policy: load_weights(models.policy, model, &folder.join(MODEL_FILE))? };
        if let Some(decay) = self.config.ema_decay {
            self.ema = Some(WeightEma::new(&models.policy, decay));
            models.policy = load_weights(models.policy, take_online_tensors(&mut train), &folder.join(TRAIN_FILE))?;
        }
        load_optimizer_state(&mut self.optimizer, &models.policy, train, device)
            .map_err(|tensor| TrainError::InvalidTensor { file: folder.join(TRAIN_FILE), tensor })?;
        (self.step, self.tokens, self.last_saved) = (state.step, state.tokens, Some(state.step));
        self.seconds_before = state.extra.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        Ok(models)
    }

    /// All remaining steps.
    pub fn train(
        &mut self,
        models: Models,
        log: &mut MetricsLog,
        stop: &AtomicBool,
        watch: &mut dyn ProgressListener,
    ) -> Result<(Models, StageOutcome), TrainError> {
        let config = self.config;
        if self.step >= config.steps {
            watch.on_event(ProgressEvent::AlreadyFinished(self.step));
            return Ok((self.finish(models), StageOutcome::Completed));
        }
        let mut models = Models { policy: self.set_trainable(models.policy)? };
        if let Some(decay) = config.ema_decay {
            self.ema.get_or_insert_with(|| WeightEma::new(&models.policy, decay));
        }
        self.emit_stage_start(&models, log, watch)?;
        self.started_at = Instant::now();
        self.validate_initial(&models, log, watch)?;
        let packer = Packer::training(self.corpus.clone(), config.sequence_length, self.recipe.seed)?;
        let rows = config.batch_size;
        // Counted over the whole run: a stage on the same text goes on where the one before it ended.
        let all = self.steps_before + self.step..self.steps_before + config.steps;
        for packed in Prefetcher::new(4, all, move |step| packer.rows_at_step(step, rows)) {
            let random = Random::new(self.recipe.seed, "objective", self.steps_before + self.step, 0);
            let batch = block_on(self.objective.batch(&packed?, &models, random))?;
            let batch = restart_positions(batch, &models.policy);
            let (parts, draws) = (split_micro_batches(&batch, config.gradient_accumulation), self.rng_key());
            let found = compute_gradients_with(&models, &parts, &*self.objective, draws, config.gradient_checkpointing);
            let row = self.step_metrics(&found, &batch);
            self.check_finite(&row, &found, &models, &batch, log)?;
            models.policy = found.apply(models.policy, &mut self.optimizer, row.learning_rate, config.max_grad_norm);
            (self.step, self.tokens) = (self.step + 1, row.tokens);
            if let Some(average) = &mut self.ema {
                average.update(&models.policy, self.step);
            }
            emit(log, watch, MetricsRow::Step(row))?;
            let value = self.validate(&models, log, watch)?;
            let asked = stop.load(Ordering::Relaxed) && self.step < config.steps;
            if asked || config.is_due(config.checkpoint_every, self.step) {
                log.sync()?;
                self.save_checkpoint(&models, value)?;
                watch.on_event(ProgressEvent::CheckpointSaved(self.step));
            }
            if asked {
                emit(log, watch, self.event_row(EventKind::Interrupted, "asked to stop; saved"))?;
                return Ok((models, StageOutcome::Interrupted));
            }
        }
        emit(log, watch, self.event_row(EventKind::Finished, "all steps done"))?;
        log.sync()?;
        Ok((self.finish(models), StageOutcome::Completed))
    }

    fn set_trainable(&self, model: kiln_models::Model) -> Result<kiln_models::Model, TrainError> {
        let index = self.folder.index;
        set_trainable(model, &self.config.trainable).map_err(|pattern| {
            let reason = format!("no parameter's name fits `{pattern}`");
            let refusal = ValidationError::new(format!("stages[{index}].trainable"), reason)
                .with_suggestion("trainable = [\"*\"]");
            ConfigError::from(refusal).into()
        })
    }
}

fn split_micro_batches(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.batch_size / parts;
    (0..parts).map(|i| batch.select_rows(i * rows..(i + 1) * rows)).collect()
}
