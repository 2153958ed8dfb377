//! Training loop of one stage of a run.

use super::{
    Runtime, data, load_weights,
    progress::{ProgressEvent, ProgressListener},
    stage_output::{HISTORY_KEY, emit},
};
use crate::{
    Models, Objective, Recipe, StageConfig, TrainError,
    checkpoint::{Checkpoint, Fingerprints, MODEL_FILE, TRAIN_FILE, sha256_hex},
    early_stopping::EvaluationHistory,
    ema::WeightEma,
    evaluate::EvalSet,
    metrics::EventKind,
    optimizer::Optimizer,
    run_folder::{MetricsLog, ResumePoint, StageFolder},
    state_dict::{load_optimizer_state, take_online_tensors},
};
use burn::tensor::Device;
use kiln_data::{Corpus, Packer, Tokenizer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Outcome of [`StageRun::train`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// All steps are completed.
    Completed,
    /// The stage was asked to stop, and saved a checkpoint.
    Interrupted,
}

/// A stage in training: its configuration, and its progress.
pub struct StageRun<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) config: &'a StageConfig,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) runtime: &'a dyn Runtime,
    /// Whether the stage trains on the built-in stories: then samples are scored by their grammar, and the loss is compared
    /// with the entropy of the generator.
    pub(super) is_builtin_stories: bool,
    pub(super) folder: StageFolder,
    pub(super) corpus: Arc<Corpus>,
    pub(super) objective: Box<dyn Objective>,
    pub(super) optimizer: Optimizer,
    /// Moving average of the weights, from the first step on, if `ema_decay` is set.
    pub(super) ema: Option<WeightEma>,
    pub(super) fingerprints: Fingerprints,
    /// Number of completed steps of this stage.
    pub(super) steps_done: u64,
    /// Number of steps of the stages before this one.
    pub(super) steps_before: u64,
    /// Number of training tokens of the run so far.
    pub(super) tokens: u64,
    /// Seconds of training of this stage in earlier processes.
    pub(super) seconds_before: f64,
    /// Time of the runtime at the start of the training in this process.
    pub(super) started_at: Duration,
    /// Completed steps of this stage at its last checkpoint; `None` if it has none.
    pub(super) last_saved: Option<u64>,
    /// Number of batches in a row without a predicted token, and of their tokens.
    pub(super) empty_batches: (usize, usize),
    /// The evaluations so far, for early stopping.
    pub(super) history: EvaluationHistory,
    /// The validation documents of all evaluations, once the first has read them.
    pub(super) eval_set: Option<EvalSet>,
}

impl<'a> StageRun<'a> {
    /// The stage of `recipe` in `folder` before its first step. [`tokens`](Self::tokens) counts those of earlier stages too.
    pub fn new(
        recipe: &'a Recipe,
        folder: StageFolder,
        corpus: Arc<Corpus>,
        tokenizer: &'a Tokenizer,
        objective: Box<dyn Objective>,
        runtime: &'a dyn Runtime,
    ) -> Self {
        let config = &recipe.stages[folder.index];
        let earlier_stages = &recipe.stages[..folder.index];
        let fingerprints = Fingerprints {
            recipe: sha256_hex(recipe.to_toml().as_bytes()),
            tokenizer: tokenizer.fingerprint(),
            corpus: corpus.training.fingerprint().to_string(),
        };
        Self {
            recipe,
            config,
            tokenizer,
            runtime,
            is_builtin_stories: data::is_builtin_stories(config.data_config(recipe)),
            folder,
            corpus,
            objective,
            optimizer: Optimizer::new(&config.optimizer),
            ema: None,
            fingerprints,
            steps_done: 0,
            steps_before: earlier_stages.iter().map(|stage| stage.steps).sum(),
            tokens: 0,
            seconds_before: 0.0,
            started_at: runtime.now(),
            last_saved: None,
            empty_batches: (0, 0),
            history: EvaluationHistory::default(),
            eval_set: None,
        }
    }

    /// Number of training tokens of the run so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Number of completed steps of this stage.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Number of completed steps of the run, over all stages: the count that metrics and random numbers use.
    pub(super) fn run_step(&self) -> u64 {
        self.steps_before + self.steps_done
    }

    /// Restores the stage from a checkpoint, and returns the models with its weights.
    ///
    /// # Errors
    /// If recipe, tokenizer or corpus have changed, or tensors do not match the model.
    pub fn restore(&mut self, models: Models, point: ResumePoint, device: &Device) -> Result<Models, TrainError> {
        point.check_fingerprints(&self.fingerprints)?;
        let Checkpoint { state, model_tensors, mut training_tensors } = point.checkpoint;
        let folder = self.folder.checkpoints().folder(state.step);
        let file = folder.join(MODEL_FILE);
        let mut models = Models { policy: load_weights(models.policy, model_tensors, &file)?, ..models };
        if let Some(decay) = self.config.ema_decay {
            self.ema = Some(WeightEma::new(&models.policy, decay));
            let online = take_online_tensors(&mut training_tensors);
            models.policy = load_weights(models.policy, online, &folder.join(TRAIN_FILE))?;
        }
        load_optimizer_state(&mut self.optimizer, &models.policy, training_tensors, device)
            .map_err(|tensor| TrainError::InvalidTensor { file: folder.join(TRAIN_FILE), tensor })?;
        self.steps_done = state.step;
        self.tokens = state.tokens;
        self.last_saved = Some(state.step);
        let history = state.extra.get(HISTORY_KEY).cloned();
        self.history = history.and_then(|history| serde_json::from_value(history).ok()).unwrap_or_default();
        self.seconds_before = state.extra.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        Ok(models)
    }

    /// Trains all remaining steps, until `stop` is set.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite, or data, device or files fail.
    pub async fn train(
        &mut self,
        models: Models,
        log: &mut MetricsLog,
        stop: &AtomicBool,
        listener: &mut dyn ProgressListener,
    ) -> Result<(Models, StageOutcome), TrainError> {
        let config = self.config;
        if self.steps_done >= config.steps || self.reason_to_stop().is_some() {
            listener.on_event(ProgressEvent::AlreadyFinished(self.steps_done));
            return Ok((self.finish(models), StageOutcome::Completed));
        }
        let mut models = Models { policy: self.set_trainable(models.policy)?, ..models };
        if let Some(decay) = config.ema_decay {
            self.ema.get_or_insert_with(|| WeightEma::new(&models.policy, decay));
        }
        self.emit_stage_start(&models, log, listener)?;
        self.started_at = self.runtime.now();
        self.validate_initial(&models, log, listener).await?;
        let packer = Packer::training(self.corpus.clone(), config.row_size(), self.recipe.seed)?;
        let batch_size = config.batch_size;
        // Steps count over the whole run, so that a stage on the same data continues where the one before it ended.
        let remaining = self.run_step()..self.steps_before + config.steps;
        let rows_at_step = Box::new(move |step| packer.rows_at_step(step, batch_size));
        for packed in self.runtime.batches(remaining, rows_at_step) {
            models = self.train_step(models, &packed?, log, listener).await?;
            self.runtime.yield_now().await;
            if self.complete_step(&models, log, stop, listener).await? {
                return Ok((models, StageOutcome::Interrupted));
            }
            if self.reason_to_stop().is_some() {
                break;
            }
        }
        let reason = self.reason_to_stop().unwrap_or_else(|| "all steps done".into());
        emit(log, listener, self.event_row(EventKind::Finished, &reason))?;
        log.sync()?;
        Ok((self.finish(models), StageOutcome::Completed))
    }

    /// Evaluates and saves after a step, if that is due. Returns whether the stage was asked to stop.
    async fn complete_step(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        stop: &AtomicBool,
        listener: &mut dyn ProgressListener,
    ) -> Result<bool, TrainError> {
        let config = self.config;
        let eval_loss = self.validate(models, log, listener).await?;
        if let (Some(loss), Some(early_stopping)) = (eval_loss, &config.early_stopping) {
            self.history.record(loss, self.steps_done, early_stopping.min_delta);
        }
        let is_last = self.steps_done >= config.steps || self.reason_to_stop().is_some();
        let is_interrupted = stop.load(Ordering::Relaxed) && !is_last;
        if is_last || is_interrupted || config.is_due(config.checkpoint_every, self.steps_done) {
            log.sync()?;
            self.save_checkpoint(models, eval_loss).await?;
            listener.on_event(ProgressEvent::CheckpointSaved(self.steps_done));
        }
        if is_interrupted {
            emit(log, listener, self.event_row(EventKind::Interrupted, "asked to stop; saved"))?;
        }
        Ok(is_interrupted)
    }

    /// Why the stage ends before its last step: early stopping. `None`: it does not.
    fn reason_to_stop(&self) -> Option<String> {
        let early_stopping = self.config.early_stopping.as_ref().filter(|_| self.steps_done < self.config.steps)?;
        self.history.reason_to_stop(early_stopping)
    }
}
