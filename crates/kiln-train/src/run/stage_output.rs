//! Output of a stage: metrics, events, evaluations, samples and checkpoints.

use super::{
    diagnose::find_non_finite,
    progress::{ProgressEvent, ProgressListener},
    stage_run::StageRun,
};
use crate::{
    Models, TrainError,
    checkpoint::{Retention, TrainerState},
    evaluate::EvalSet,
    metrics::{EventKind, MetricsRow, RunEvent, StepMetrics},
    run_folder::MetricsLog,
    samples,
    state_dict::{ONLINE_PREFIX, pending_model_tensors, pending_optimizer_tensors},
    step::{Gradients, count_trainable},
};
use burn::{module::Module, tensor::Tensor};
use kiln_data::Batch;
use kiln_infer::Generator;
use kiln_kernels::exact::Arithmetic;
use kiln_nn::context::RngKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Key of the evaluations that early stopping has counted, in the state of a checkpoint.
pub(super) const HISTORY_KEY: &str = "early_stopping";

impl StageRun<'_> {
    /// Reports the start of the stage, and writes an event if it is resumed.
    pub(super) fn emit_stage_start(
        &self,
        models: &Models,
        log: &mut MetricsLog,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), TrainError> {
        listener.on_event(ProgressEvent::StageStarted {
            name: &self.config.name,
            parameters: (models.policy.num_params(), count_trainable(&models.policy)),
            steps_done: self.steps_done,
            steps: self.config.steps,
            epochs: self.config.epochs,
        });
        if self.steps_done > 0 {
            let detail = format!("resumed after step {}", self.steps_done);
            emit(log, listener, self.event_row(EventKind::Resumed, &detail))?;
        }
        Ok(())
    }

    /// Random-number key of the step in progress. Its step counts over the whole run.
    pub(super) fn rng_key(&self) -> RngKey {
        RngKey { seed: self.recipe.seed, step: self.run_step(), micro_batch: 0 }
    }

    /// Seconds of training of this stage, over all processes.
    pub(super) fn elapsed_seconds(&self) -> f64 {
        self.seconds_before + self.runtime.now().saturating_sub(self.started_at).as_secs_f64()
    }

    /// An event after the last completed step.
    pub(super) fn event_row(&self, kind: EventKind, detail: &str) -> MetricsRow {
        MetricsRow::Event(RunEvent {
            step: self.run_step(),
            kind,
            detail: detail.into(),
            seconds: self.elapsed_seconds(),
        })
    }

    /// Metrics of the step in progress. Reads loss and norm from the device: the only wait for the device in a step.
    pub(super) async fn step_metrics(&self, gradients: &Gradients, batch: &Batch) -> StepMetrics {
        StepMetrics {
            step: self.run_step() + 1,
            tokens: self.tokens + batch.layout.num_valid() as u64,
            loss: read_scalar(&gradients.loss).await,
            learning_rate: self.config.schedule.learning_rate(self.steps_done, self.config.steps),
            gradient_norm: read_scalar(&gradients.norm).await,
            seconds: self.elapsed_seconds(),
            auxiliary_losses: read_scalars(&gradients.auxiliary_losses).await,
            metrics: read_scalars(&gradients.metrics).await,
        }
    }

    /// Checks that loss and gradient norm of the step in progress are finite, before the weights are updated. Otherwise writes
    /// an event with the first value that is not finite.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`].
    pub(super) async fn check_finite(
        &self,
        row: &StepMetrics,
        gradients: &Gradients,
        models: &Models,
        batch: &Batch,
        log: &mut MetricsLog,
    ) -> Result<(), TrainError> {
        let quantity = match (row.loss.is_finite(), row.gradient_norm.is_finite()) {
            (true, true) => return Ok(()),
            (false, _) => "loss",
            (true, false) => "gradient",
        };
        let origin = find_non_finite(models, batch, &*self.objective, self.rng_key(), gradients).await?;
        log.append(&self.event_row(EventKind::NotFinite, &format!("{quantity} at step {}: {origin}", row.step)))?;
        log.sync()?;
        let last_saved_step = match self.last_saved {
            Some(step) => Some(self.steps_before + step),
            // The previous stage saved its last step.
            None if self.steps_before > 0 => Some(self.steps_before),
            None => None,
        };
        Err(TrainError::NotFinite { step: row.step, quantity, origin, last_saved_step })
    }

    /// The model that is evaluated, sampled and saved: the averaged weights in a stage with an EMA.
    fn eval_model<'m>(&'m self, models: &'m Models) -> &'m kiln_models::Model {
        self.ema.as_ref().map_or(&models.policy, |ema| &ema.model)
    }

    /// The models for the next stage: with the averaged weights in a stage with an EMA.
    pub(super) fn finish(&self, models: Models) -> Models {
        match &self.ema {
            Some(ema) => models.with_policy(ema.model.clone().train()),
            None => models,
        }
    }

    /// Evaluates the model if that is due. Returns the validation loss.
    pub(super) async fn validate(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        listener: &mut dyn ProgressListener,
    ) -> Result<Option<f64>, TrainError> {
        if !self.config.is_due(self.config.eval_every, self.steps_done) {
            return Ok(None);
        }
        self.evaluate(models, log, listener).await.map(Some)
    }

    /// Evaluates the model to start from before the first step of the run, unless `eval_every` is 0.
    pub(super) async fn validate_initial(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), TrainError> {
        let is_due = self.recipe.from.is_some() && self.run_step() == 0 && !self.config.eval_every.is_zero();
        if is_due { self.evaluate(models, log, listener).await.map(drop) } else { Ok(()) }
    }

    /// Evaluates the model on the evaluation set of the stage, generates samples, and writes both rows.
    async fn evaluate(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        listener: &mut dyn ProgressListener,
    ) -> Result<f64, TrainError> {
        let config = self.config;
        let models = models.clone().with_policy(self.eval_model(models).valid());
        let eval_set = self.take_eval_set().await?;
        let runtime = self.runtime;
        let pause = async || runtime.yield_now().await;
        let evaluation = eval_set.evaluate_with_pauses(&models, &*self.objective, Arithmetic::Fast, pause).await?;
        let row = evaluation.to_metrics(self.run_step(), self.tokens, self.elapsed_seconds());
        emit(log, listener, MetricsRow::Validation(row))?;
        if config.num_samples > 0 {
            let mode = self.objective.generation_mode(models.policy.config(), self.tokenizer.special_tokens());
            let generator = Generator::new(&models.policy, self.tokenizer)?.with_mode(mode);
            let seed = self.recipe.seed;
            let is_stories = self.is_builtin_stories;
            let mut row = samples::generate_samples(&generator, &eval_set, config, seed, is_stories, pause).await?;
            row.step = self.run_step();
            row.seconds = self.elapsed_seconds();
            emit(log, listener, MetricsRow::Samples(row))?;
        }
        self.eval_set = Some(eval_set);
        Ok(evaluation.loss)
    }

    /// Takes the evaluation set out of `self`, or reads it. It is kept between evaluations, because the exact probabilities of
    /// the built-in stories are slow to compute.
    pub(super) async fn take_eval_set(&mut self) -> Result<EvalSet, TrainError> {
        if let Some(eval_set) = self.eval_set.take() {
            return Ok(eval_set);
        }
        let size = (self.config.row_size(), self.config.batch_size);
        let max_tokens = Some(self.config.eval_set_tokens());
        let mut eval_set = EvalSet::without_references(&self.corpus, size, max_tokens, self.recipe.seed)?;
        if self.is_builtin_stories {
            for document in eval_set.documents() {
                self.runtime.yield_now().await;
                eval_set.add_reference(&self.corpus, self.tokenizer, document)?;
            }
        }
        Ok(eval_set)
    }

    /// The further values of a checkpoint: the time, and the evaluations that early stopping has counted.
    fn extra_state(&self) -> serde_json::Map<String, Value> {
        let mut extra = serde_json::Map::from_iter([("seconds".to_string(), self.elapsed_seconds().into())]);
        if self.config.early_stopping.is_some() {
            extra.insert(HISTORY_KEY.into(), json!(self.history));
        }
        extra
    }

    /// Saves a checkpoint after the last completed step, with its validation loss if it was evaluated.
    pub(super) async fn save_checkpoint(&mut self, models: &Models, eval_loss: Option<f64>) -> Result<(), TrainError> {
        let state = TrainerState {
            step: self.steps_done,
            steps: self.config.steps,
            tokens: self.tokens,
            data_position: self.steps_done * self.config.batch_size as u64,
            eval_loss,
            fingerprints: self.fingerprints.clone(),
            extra: self.extra_state(),
        };
        let model_tensors = pending_model_tensors(self.eval_model(models), "");
        let mut training_tensors = pending_optimizer_tensors(&self.optimizer);
        if self.ema.is_some() {
            training_tensors.extend(pending_model_tensors(&models.policy, ONLINE_PREFIX));
        }
        let retention = Retention { keep_last: self.config.keep_checkpoints };
        self.folder.checkpoints().save_pending(&state, &model_tensors, &training_tensors, retention).await?;
        self.last_saved = Some(self.steps_done);
        Ok(())
    }
}

/// A tensor with one element as a float, NaN if the device fails.
async fn read_scalar(tensor: &Tensor<1>) -> f64 {
    tensor.clone().into_scalar_async::<f32>().await.map_or(f64::NAN, f64::from)
}

/// Tensors with one element each as floats, by name.
async fn read_scalars(tensors: &BTreeMap<String, Tensor<1>>) -> BTreeMap<String, Option<f64>> {
    let mut scalars = BTreeMap::new();
    for (name, value) in tensors {
        scalars.insert(name.clone(), Some(read_scalar(value).await));
    }
    scalars
}

/// Writes a row of metrics and reports it.
pub fn emit(log: &mut MetricsLog, listener: &mut dyn ProgressListener, row: MetricsRow) -> Result<(), TrainError> {
    log.append(&row)?;
    listener.on_event(ProgressEvent::Metrics(&row));
    Ok(())
}
