//! One optimizer step of a stage, and what must hold before it.

use super::{precision::untrainable, progress::ProgressListener, stage_output::emit, stage_run::StageRun};
use crate::{
    Models, TrainError,
    metrics::MetricsRow,
    objective::{LossUnit, check_rows, restart_positions},
    run_folder::MetricsLog,
    step::{StepOptions, compute_gradients_with, set_trainable},
};
use kiln_data::{Batch, PackedSequences};
use kiln_infer::block_on;
use kiln_models::Model;
use kiln_nn::adapter::StepProgress;
use kiln_spec::{Random, ValidationError, config::ConfigError};

/// Number of batches in a row in which no token is predicted, after which a stage is given up.
const MAX_EMPTY_BATCHES: usize = 8;

impl StageRun<'_> {
    /// One optimizer step on the packed rows.
    pub(super) fn train_step(
        &mut self,
        mut models: Models,
        packed: &PackedSequences,
        log: &mut MetricsLog,
        listener: &mut dyn ProgressListener,
    ) -> Result<Models, TrainError> {
        let config = self.config;
        let random = Random::new(self.recipe.seed, "objective", self.run_step(), 0);
        let batch = block_on(self.objective.batch(packed, &models, random))?;
        let batch = restart_positions(batch, &models.policy);
        check_rows(&batch, &packed.vocabulary, &models.policy)?;
        let parts = split_micro_batches(&batch, config.gradient_accumulation);
        let checkpointing = config.gradient_checkpointing;
        let gradients = compute_gradients_with(&models, &parts, &*self.objective, self.rng_key(), checkpointing);
        let mut row = self.step_metrics(&gradients, &batch);
        self.check_finite(&row, &gradients, &models, &batch, log)?;
        let num_units = self.objective.num_units(&batch);
        if num_units == 0.0 {
            row.loss = f64::NAN;
        }
        self.check_has_units(num_units, &batch)?;
        let options = StepOptions {
            learning_rate: row.learning_rate,
            max_grad_norm: config.max_grad_norm,
            progress: StepProgress { step: self.steps_done + 1, total_steps: config.steps },
        };
        models.policy = gradients.apply_at(models.policy, &mut self.optimizer, &options);
        self.steps_done += 1;
        self.tokens = row.tokens;
        if let Some(ema) = &mut self.ema {
            ema.update(&models.policy, self.steps_done);
        }
        emit(log, listener, MetricsRow::Step(row))?;
        Ok(models)
    }

    /// Counts the batches in a row in which the objective finds nothing to train on, such as no predicted token.
    ///
    /// # Errors
    /// If these are [`MAX_EMPTY_BATCHES`].
    fn check_has_units(&mut self, num_units: f64, batch: &Batch) -> Result<(), TrainError> {
        if num_units > 0.0 {
            self.empty_batches = (0, 0);
            return Ok(());
        }
        let (batches, tokens) = &mut self.empty_batches;
        *batches += 1;
        *tokens += batch.layout.num_valid();
        if *batches < MAX_EMPTY_BATCHES {
            return Ok(());
        }
        let name = self.objective.name();
        let reason = match self.objective.unit() {
            LossUnit::Token => format!("`{name}` predicts none of the {tokens} tokens of {batches} batches in a row"),
            unit => format!("`{name}` finds no {} in {batches} batches in a row ({tokens} tokens)", unit.name()),
        };
        let path = format!("stages[{}].objective", self.folder.index);
        let suggestion = "options that select more tokens, a shorter prefix or a longer sequence_length";
        Err(ConfigError::from(ValidationError::new(path, reason).with_suggestion(suggestion)).into())
    }

    /// The model with only the parameters trainable that `trainable` names.
    pub(super) fn set_trainable(&self, model: Model) -> Result<Model, TrainError> {
        let model = set_trainable(model, &self.config.trainable).map_err(|pattern| {
            let error = ValidationError::new(
                format!("stages[{}].trainable", self.folder.index),
                format!("no parameter name matches `{pattern}`"),
            );
            ConfigError::from(error.with_suggestion("trainable = [\"*\"]"))
        })?;
        match model.find_untrainable() {
            Some((name, held)) => Err(ConfigError::from(untrainable(self.folder.index, &name, held)).into()),
            None => Ok(model),
        }
    }
}

/// The batch in `parts` batches of consecutive rows. `parts` divides the batch size.
fn split_micro_batches(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.batch_size / parts;
    (0..parts).map(|i| batch.select_rows(i * rows..(i + 1) * rows)).collect()
}
