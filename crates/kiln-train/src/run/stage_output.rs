//! What a stage says of its steps, and what it leaves of them.

use super::{
    diagnose::find_non_finite,
    progress::{ProgressEvent, ProgressListener},
    stage_run::StageRun,
};
use crate::{
    Models, TrainError,
    checkpoint::{Checkpoint, Retention, TrainerState},
    evaluate::EvalSet,
    metrics::{EventKind, MetricsRow, RunEvent, StepMetrics},
    run_folder::MetricsLog,
    samples,
    state_dict::{model_tensors, online_tensors, optimizer_tensors},
    step::{Gradients, count_trainable},
};
use burn::{module::Module, tensor::Tensor};
use kiln_data::Batch;
use kiln_infer::{Generator, block_on};
use kiln_nn::context::RngKey;

impl StageRun<'_> {
    pub(super) fn emit_stage_start(
        &self,
        models: &Models,
        log: &mut MetricsLog,
        watch: &mut dyn ProgressListener,
    ) -> Result<(), TrainError> {
        let parameters = (models.policy.num_params(), count_trainable(&models.policy));
        let (done, steps) = (self.step, self.config.steps);
        watch.on_event(ProgressEvent::StageStarted { name: &self.config.name, parameters, steps_done: done, steps });
        if done > 0 {
            emit(log, watch, self.event_row(EventKind::Resumed, &format!("goes on after step {done}")))?;
        }
        Ok(())
    }

    pub(super) fn rng_key(&self) -> RngKey {
        RngKey { seed: self.recipe.seed, step: self.steps_before + self.step, micro_batch: 0 }
    }

    pub(super) fn elapsed_seconds(&self) -> f64 {
        self.seconds_before + self.started_at.elapsed().as_secs_f64()
    }

    pub(super) fn event_row(&self, event: EventKind, detail: &str) -> MetricsRow {
        MetricsRow::Event(RunEvent {
            step: self.steps_before + self.step,
            kind: event,
            detail: detail.into(),
            seconds: self.elapsed_seconds(),
        })
    }

    /// Reads this step's figures from the device: the one place where a step waits for numbers.
    pub(super) fn step_metrics(&self, found: &Gradients, batch: &Batch) -> StepMetrics {
        let read = |tensor: &Tensor<1>| block_on(tensor.clone().into_scalar_async::<f32>()).map_or(f64::NAN, f64::from);
        StepMetrics {
            step: self.steps_before + self.step + 1,
            tokens: self.tokens + batch.layout.num_valid() as u64,
            loss: read(&found.loss),
            learning_rate: self.config.schedule.learning_rate(self.step, self.config.steps),
            gradient_norm: read(&found.norm),
            seconds: self.elapsed_seconds(),
            auxiliary_losses: found
                .auxiliary_losses
                .iter()
                .map(|(name, value)| (name.clone(), Some(read(value))))
                .collect(),
        }
    }

    /// Stops before weights are touched by numbers that are none.
    pub(super) fn check_finite(
        &self,
        row: &StepMetrics,
        found: &Gradients,
        models: &Models,
        batch: &Batch,
        log: &mut MetricsLog,
    ) -> Result<(), TrainError> {
        let what = match (row.loss.is_finite(), row.gradient_norm.is_finite()) {
            (true, true) => return Ok(()),
            (false, _) => "loss",
            (true, false) => "gradient",
        };
        let began = block_on(find_non_finite(models, batch, &*self.objective, self.rng_key(), found))?;
        log.append(&self.event_row(EventKind::NotFinite, &format!("{what} at step {}: {began}", row.step)))?;
        log.sync()?;
        let before = (self.steps_before > 0).then_some(0);
        let saved = self.last_saved.or(before).map(|step| self.steps_before + step);
        Err(TrainError::NotFinite { step: row.step, quantity: what, origin: began, last_saved_step: saved })
    }

    /// The model that is validated, samples and is saved to be used: the mean of the weights, if there is one.
    fn eval_model<'m>(&'m self, models: &'m Models) -> &'m kiln_models::Model {
        self.ema.as_ref().map_or(&models.policy, |average| &average.model)
    }

    /// What the stage leaves to the next one: the mean of its weights, if it kept one.
    pub(super) fn finish(&self, models: Models) -> Models {
        match &self.ema {
            Some(average) => Models { policy: average.model.clone().train() },
            None => models,
        }
    }

    pub(super) fn validate(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        watch: &mut dyn ProgressListener,
    ) -> Result<Option<f64>, TrainError> {
        if !self.config.is_due(self.config.eval_every, self.step) {
            return Ok(None);
        }
        let budget = self.config.validation_budget(self.step);
        self.validate_with_budget(budget, models, log, watch).map(Some)
    }

    /// The loss of a model that others trained, before it goes on.
    pub(super) fn validate_initial(
        &mut self,
        models: &Models,
        log: &mut MetricsLog,
        watch: &mut dyn ProgressListener,
    ) -> Result<(), TrainError> {
        let starts =
            self.recipe.from.is_some() && self.steps_before + self.step == 0 && !self.config.eval_every.is_zero();
        // On as much text as at the end, so that the two compare.
        let budget = self.config.validation_budget(self.config.steps);
        if starts { self.validate_with_budget(budget, models, log, watch).map(drop) } else { Ok(()) }
    }

    fn validate_with_budget(
        &mut self,
        budget: u64,
        models: &Models,
        log: &mut MetricsLog,
        watch: &mut dyn ProgressListener,
    ) -> Result<f64, TrainError> {
        let config = self.config;
        let plain = Models { policy: self.eval_model(models).valid() };
        let held = self.take_eval_set(budget)?;
        let found = block_on(held.evaluate(&plain, &*self.objective))?;
        let row = MetricsRow::Validation(found.to_metrics(
            self.steps_before + self.step,
            self.tokens,
            self.elapsed_seconds(),
        ));
        emit(log, watch, row)?;
        if config.num_samples > 0 {
            let usage = self.objective.generation_mode(plain.policy.config(), self.tokenizer.special_tokens());
            let generator = Generator::new(&plain.policy, self.tokenizer)?.with_mode(usage);
            let mut row =
                block_on(samples::generate_samples(&generator, &held, config, self.recipe.seed, self.built_in))?;
            (row.step, row.seconds) = (self.steps_before + self.step, self.elapsed_seconds());
            emit(log, watch, MetricsRow::Samples(row))?;
        }
        self.eval_set = Some((budget, held));
        Ok(found.loss)
    }

    /// Held-out text of a validation: read and judged again only if the budget has changed.
    fn take_eval_set(&mut self, budget: u64) -> Result<EvalSet, TrainError> {
        if let Some((_, held)) = self.eval_set.take().filter(|(last, _)| *last == budget) {
            return Ok(held);
        }
        let size = (self.config.sequence_length, self.config.batch_size);
        Ok(EvalSet::new(&self.corpus, self.tokenizer, size, Some(budget), self.built_in, self.recipe.seed)?)
    }

    pub(super) fn save_checkpoint(&mut self, models: &Models, value: Option<f64>) -> Result<(), TrainError> {
        let state = TrainerState {
            step: self.step,
            steps: self.config.steps,
            tokens: self.tokens,
            data_position: self.step * self.config.batch_size as u64,
            eval_loss: value,
            fingerprints: self.fingerprints.clone(),
            extra: [("seconds".to_string(), self.elapsed_seconds().into())].into_iter().collect(),
        };
        let model = block_on(model_tensors(self.eval_model(models)))?;
        let mut train = block_on(optimizer_tensors(&self.optimizer))?;
        if self.ema.is_some() {
            train.extend(block_on(online_tensors(&models.policy))?);
        }
        let retention = Retention { keep_last: self.config.keep_checkpoints };
        self.folder
            .checkpoints()
            .save(&Checkpoint { state, model_tensors: model, training_tensors: train }, retention)?;
        self.last_saved = Some(self.step);
        Ok(())
    }
}

/// Writes a row and tells it.
pub fn emit(log: &mut MetricsLog, watch: &mut dyn ProgressListener, row: MetricsRow) -> Result<(), TrainError> {
    log.append(&row)?;
    watch.on_event(ProgressEvent::Metrics(&row));
    Ok(())
}
