//! What a stage says of its steps, and what it leaves of them.

use super::{
    diagnose::where_it_began,
    stage::StageRun,
    watch::{News, Watch},
};
use crate::{
    Failure, Models,
    checkpoint::{Checkpoint, Retention, State},
    evaluate::Held,
    folder::Log,
    metrics::{Event, Happening, Row, Step},
    samples,
    step::{Gradients, trainable},
    weights::{optimiser_tensors, to_tensors, trained_tensors},
};
use burn::{module::Module, tensor::Tensor};
use kiln_data::Batch;
use kiln_infer::{Generator, block_on};
use kiln_nn::cx::Draws;

impl StageRun<'_> {
    pub(super) fn announce(&self, models: &Models, log: &mut Log, watch: &mut dyn Watch) -> Result<(), Failure> {
        let parameters = (models.policy.num_params(), trainable(&models.policy));
        let (done, steps) = (self.step, self.config.steps);
        watch.tell(News::Stage { name: &self.config.name, parameters, done, steps });
        if done > 0 {
            tell(log, watch, self.event(Happening::Resumed, &format!("goes on after step {done}")))?;
        }
        Ok(())
    }

    pub(super) fn draws(&self) -> Draws {
        Draws { seed: self.recipe.seed, step: self.earlier + self.step, part: 0 }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    pub(super) fn event(&self, event: Happening, detail: &str) -> Row {
        Row::Event(Event { step: self.earlier + self.step, event, detail: detail.into(), seconds: self.seconds() })
    }

    /// Reads this step's figures from the device: the one place where a step waits for numbers.
    pub(super) fn figures(&self, found: &Gradients, batch: &Batch) -> Step {
        let read = |tensor: &Tensor<1>| block_on(tensor.clone().into_scalar_async::<f32>()).map_or(f64::NAN, f64::from);
        Step {
            step: self.earlier + self.step + 1,
            tokens: self.tokens + batch.layout.live() as u64,
            loss: read(&found.loss),
            learning_rate: self.config.schedule.at(self.step, self.config.steps),
            gradient_norm: read(&found.norm),
            seconds: self.seconds(),
            losses: found.added.iter().map(|(name, value)| (name.clone(), Some(read(value)))).collect(),
        }
    }

    /// Stops before weights are touched by numbers that are none.
    pub(super) fn finite(
        &self,
        row: &Step,
        found: &Gradients,
        models: &Models,
        batch: &Batch,
        log: &mut Log,
    ) -> Result<(), Failure> {
        let what = match (row.loss.is_finite(), row.gradient_norm.is_finite()) {
            (true, true) => return Ok(()),
            (false, _) => "loss",
            (true, false) => "gradient",
        };
        let began = block_on(where_it_began(models, batch, &*self.objective, self.draws(), found))?;
        log.append(&self.event(Happening::NotFinite, &format!("{what} at step {}: {began}", row.step)))?;
        log.sync()?;
        let before = (self.earlier > 0).then_some(0);
        let saved = self.saved.or(before).map(|step| self.earlier + step);
        Err(Failure::NotFinite { step: row.step, what, began, saved })
    }

    /// The model that is validated, samples and is saved to be used: the mean of the weights, if there is one.
    fn kept<'m>(&'m self, models: &'m Models) -> &'m kiln_models::Model {
        self.average.as_ref().map_or(&models.policy, |average| &average.model)
    }

    /// What the stage leaves to the next one: the mean of its weights, if it kept one.
    pub(super) fn left(&self, models: Models) -> Models {
        match &self.average {
            Some(average) => Models { policy: average.model.clone().train() },
            None => models,
        }
    }

    pub(super) fn validate(
        &mut self,
        models: &Models,
        log: &mut Log,
        watch: &mut dyn Watch,
    ) -> Result<Option<f64>, Failure> {
        if !self.config.due(self.config.validations, self.step) {
            return Ok(None);
        }
        let budget = self.config.validation_budget(self.step);
        self.validate_on(budget, models, log, watch).map(Some)
    }

    /// The loss of a model that others trained, before it goes on.
    pub(super) fn validate_start(
        &mut self,
        models: &Models,
        log: &mut Log,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let starts = self.recipe.from.is_some() && self.earlier + self.step == 0 && self.config.validations > 0;
        // On as much text as at the end, so that the two compare.
        let budget = self.config.validation_budget(self.config.steps);
        if starts { self.validate_on(budget, models, log, watch).map(drop) } else { Ok(()) }
    }

    fn validate_on(
        &mut self,
        budget: u64,
        models: &Models,
        log: &mut Log,
        watch: &mut dyn Watch,
    ) -> Result<f64, Failure> {
        let config = self.config;
        let plain = Models { policy: self.kept(models).valid() };
        let held = self.held_out(budget)?;
        let found = block_on(held.evaluate(&plain, &*self.objective))?;
        let row = Row::Validation(found.row(self.earlier + self.step, self.tokens, self.seconds()));
        tell(log, watch, row)?;
        if config.samples > 0 {
            let usage = self.objective.usage(plain.policy.config(), self.tokenizer.specials());
            let generator = Generator::new(&plain.policy, self.tokenizer)?.with(usage);
            let mut row = block_on(samples::write(&generator, &held, config, self.recipe.seed, self.built_in))?;
            (row.step, row.seconds) = (self.earlier + self.step, self.seconds());
            tell(log, watch, Row::Samples(row))?;
        }
        self.held = Some((budget, held));
        Ok(found.loss)
    }

    /// Held-out text of a validation: read and judged again only if the budget has changed.
    fn held_out(&mut self, budget: u64) -> Result<Held, Failure> {
        if let Some((_, held)) = self.held.take().filter(|(last, _)| *last == budget) {
            return Ok(held);
        }
        let size = (self.config.length, self.config.rows);
        Ok(Held::new(&self.corpus, self.tokenizer, size, Some(budget), self.built_in, self.recipe.seed)?)
    }

    pub(super) fn save(&mut self, models: &Models, value: Option<f64>) -> Result<(), Failure> {
        let state = State {
            step: self.step,
            steps: self.config.steps,
            tokens: self.tokens,
            data: self.step * self.config.rows as u64,
            value,
            fingerprints: self.fingerprints.clone(),
            extra: [("seconds".to_string(), self.seconds().into())].into_iter().collect(),
        };
        let model = block_on(to_tensors(self.kept(models)))?;
        let mut train = block_on(optimiser_tensors(&self.optimiser))?;
        if self.average.is_some() {
            train.extend(block_on(trained_tensors(&models.policy))?);
        }
        let retention = Retention { last: self.config.keep };
        self.place.checkpoints().save(&Checkpoint { state, model, train }, retention)?;
        self.saved = Some(self.step);
        Ok(())
    }
}

/// Writes a row and tells it.
pub fn tell(log: &mut Log, watch: &mut dyn Watch, row: Row) -> Result<(), Failure> {
    log.append(&row)?;
    watch.tell(News::Row(&row));
    Ok(())
}
