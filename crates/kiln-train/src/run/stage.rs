//! One stage of a run: the loop over its steps.

use super::{
    diagnose::where_it_began,
    fill, text,
    watch::{News, Watch},
};
use crate::{
    Failure, Models, Objective, Recipe, StageConfig,
    checkpoint::{Checkpoint, Fingerprints, MODEL, Retention, State, TRAIN},
    evaluate::Held,
    folder::{Found, Log, Stage},
    metrics::{Event, Happening, Row, Step},
    objective::within_positions,
    optimiser::Optimiser,
    samples,
    step::{Gradients, gradients, train_only},
    weights::{fill_optimiser, optimiser_tensors, to_tensors},
};
use burn::{module::Module, tensor::Device};
use kiln_data::{Batch, Corpus, DataConfig, Packer, Prefetch, Tokenizer};
use kiln_infer::block_on;
use kiln_nn::cx::Draws;
use kiln_spec::{Random, Refusal, config::ConfigError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did all its steps.
    Done,
    /// It was asked to stop.
    Interrupted,
}

/// A stage that runs.
pub struct StageRun<'a> {
    recipe: &'a Recipe,
    config: &'a StageConfig,
    tokenizer: &'a Tokenizer,
    built_in: bool,
    place: Stage,
    corpus: Arc<Corpus>,
    objective: Box<dyn Objective>,
    optimiser: Optimiser,
    fingerprints: Fingerprints,
    step: u64,
    /// Steps of the stages before this one: lines of metrics count over the whole run.
    earlier: u64,
    tokens: u64,
    /// Seconds of earlier processes.
    before: f64,
    started: Instant,
    saved: Option<u64>,
}

impl<'a> StageRun<'a> {
    /// Before its first step.
    pub fn new(
        recipe: &'a Recipe,
        config: &'a StageConfig,
        data: &DataConfig,
        place: Stage,
        corpus: Arc<Corpus>,
        tokenizer: &'a Tokenizer,
        fingerprints: Fingerprints,
    ) -> Self {
        let before = &recipe.stages[..place.index.min(recipe.stages.len())];
        Self {
            recipe,
            config,
            tokenizer,
            built_in: text::built_in(data),
            place,
            corpus,
            objective: config.objective.build(),
            optimiser: Optimiser::new(&config.optimiser),
            fingerprints,
            step: 0,
            earlier: before.iter().map(|stage| stage.steps).sum(),
            tokens: 0,
            before: 0.0,
            started: Instant::now(),
            saved: None,
        }
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.step
    }

    /// As it was at a checkpoint.
    pub fn restore(&mut self, models: Models, found: Found, device: &Device) -> Result<Models, Failure> {
        found.check(&self.fingerprints)?;
        let Checkpoint { state, model, train } = found.checkpoint;
        let folder = self.place.checkpoints().folder(state.step);
        let models = Models { policy: fill(models.policy, model, &folder.join(MODEL))? };
        fill_optimiser(&mut self.optimiser, &models.policy, train, device)
            .map_err(|tensor| Failure::Tensor { file: folder.join(TRAIN), tensor })?;
        (self.step, self.tokens, self.saved) = (state.step, state.tokens, Some(state.step));
        self.before = state.extra.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        Ok(models)
    }

    /// All remaining steps.
    pub fn train(
        &mut self,
        models: Models,
        log: &mut Log,
        stop: &AtomicBool,
        watch: &mut dyn Watch,
    ) -> Result<(Models, Ended), Failure> {
        let config = self.config;
        if self.step >= config.steps {
            watch.tell(News::Finished(self.step));
            return Ok((models, Ended::Done));
        }
        let mut models = Models { policy: self.only(models.policy)? };
        self.announce(&models, log, watch)?;
        self.started = Instant::now();
        let packer = Packer::training(self.corpus.clone(), config.length, self.recipe.seed)?;
        let rows = config.rows;
        for packed in Prefetch::new(4, self.step..config.steps, move |step| packer.step(step, rows)) {
            let random = Random::new(self.recipe.seed, "objective", self.step, 0);
            let batch = block_on(self.objective.batch(&packed?, &models, random))?;
            let batch = within_positions(batch, &models.policy);
            let found = gradients(&models, &parts(&batch, config.accumulate), &*self.objective, self.draws());
            let row = self.figures(&found, &batch);
            self.finite(&row, &found, &models, &batch, log)?;
            models.policy = found.apply(models.policy, &mut self.optimiser, row.learning_rate, config.clip);
            (self.step, self.tokens) = (self.step + 1, row.tokens);
            tell(log, watch, Row::Step(row))?;
            let value = self.validate(&models, log, watch)?;
            let asked = stop.load(Ordering::Relaxed) && self.step < config.steps;
            if asked || config.due(config.checkpoints, self.step) {
                log.sync()?;
                self.save(&models, value)?;
                watch.tell(News::Saved(self.step));
            }
            if asked {
                tell(log, watch, self.event(Happening::Interrupted, "asked to stop; saved"))?;
                return Ok((models, Ended::Interrupted));
            }
        }
        tell(log, watch, self.event(Happening::Finished, "all steps done"))?;
        log.sync()?;
        Ok((models, Ended::Done))
    }

    fn only(&self, model: kiln_models::Model) -> Result<kiln_models::Model, Failure> {
        let index = self.place.index;
        train_only(model, &self.config.trains).map_err(|pattern| {
            let reason = format!("no parameter's name fits `{pattern}`");
            let refusal = Refusal::new(format!("stages[{index}].trains"), reason).instead("trains = [\"*\"]");
            ConfigError::from(refusal).into()
        })
    }

    fn announce(&self, models: &Models, log: &mut Log, watch: &mut dyn Watch) -> Result<(), Failure> {
        let names = kiln_models::names(&models.policy);
        let fits = |n: &kiln_models::Name| self.config.trains.iter().any(|p| crate::optimiser::matches(p, &n.path));
        let train = names.iter().filter(|n| fits(n)).map(|n| n.shape.iter().product::<usize>()).sum();
        let parameters = (models.policy.num_params(), train);
        let (done, steps) = (self.step, self.config.steps);
        watch.tell(News::Stage { name: &self.config.name, parameters, done, steps });
        if done > 0 {
            tell(log, watch, self.event(Happening::Resumed, &format!("goes on after step {done}")))?;
        }
        Ok(())
    }

    fn draws(&self) -> Draws {
        Draws { seed: self.recipe.seed, step: self.step, part: 0 }
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn event(&self, event: Happening, detail: &str) -> Row {
        Row::Event(Event { step: self.earlier + self.step, event, detail: detail.into(), seconds: self.seconds() })
    }

    /// Reads this step's figures from the device: the one place where a step waits for numbers.
    fn figures(&self, found: &Gradients, batch: &Batch) -> Step {
        let read = |tensor: &burn::tensor::Tensor<1>| {
            block_on(tensor.clone().into_scalar_async::<f32>()).map_or(f64::NAN, f64::from)
        };
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
    fn finite(
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
        let began = where_it_began(models, batch, &*self.objective, self.draws(), found);
        log.append(&self.event(Happening::NotFinite, &format!("{what} at step {}: {began}", row.step)))?;
        log.sync()?;
        Err(Failure::NotFinite { step: row.step, what, began, saved: self.saved })
    }

    fn validate(&self, models: &Models, log: &mut Log, watch: &mut dyn Watch) -> Result<Option<f64>, Failure> {
        let config = self.config;
        if !config.due(config.validations, self.step) {
            return Ok(None);
        }
        let plain = Models { policy: models.policy.valid() };
        let budget = Some(config.validation_budget(self.step));
        let size = (config.length, config.rows);
        let held = Held::new(&self.corpus, self.tokenizer, size, budget, self.built_in, self.recipe.seed)?;
        let found = block_on(held.evaluate(&plain, &*self.objective))?;
        let row = Row::Validation(found.row(self.earlier + self.step, self.tokens, self.seconds()));
        tell(log, watch, row)?;
        if config.samples > 0 {
            let written = samples::write(&plain.policy, self.tokenizer, config, self.recipe.seed, self.built_in);
            let mut row = block_on(written)?;
            (row.step, row.seconds) = (self.earlier + self.step, self.seconds());
            tell(log, watch, Row::Samples(row))?;
        }
        Ok(Some(found.loss))
    }

    fn save(&mut self, models: &Models, value: Option<f64>) -> Result<(), Failure> {
        let state = State {
            step: self.step,
            steps: self.config.steps,
            tokens: self.tokens,
            data: self.step * self.config.rows as u64,
            value,
            fingerprints: self.fingerprints.clone(),
            extra: [("seconds".to_string(), self.seconds().into())].into_iter().collect(),
        };
        let (model, train) = (to_tensors(&models.policy), optimiser_tensors(&self.optimiser));
        let retention = Retention { last: self.config.keep };
        self.place.checkpoints().save(&Checkpoint { state, model, train }, retention)?;
        self.saved = Some(self.step);
        Ok(())
    }
}

fn tell(log: &mut Log, watch: &mut dyn Watch, row: Row) -> Result<(), Failure> {
    log.append(&row)?;
    watch.tell(News::Row(&row));
    Ok(())
}

fn parts(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.rows / parts;
    (0..parts).map(|i| batch.select(i * rows..(i + 1) * rows)).collect()
}
