//! One stage of a run: the loop over its steps.

use super::{
    fill,
    report::tell,
    text,
    watch::{News, Watch},
};
use crate::{
    Failure, Models, Objective, Recipe, StageConfig,
    average::Average,
    checkpoint::{Checkpoint, Fingerprints, MODEL, TRAIN, sha256},
    evaluate::Held,
    folder::{Found, Log, Stage},
    metrics::{Happening, Row},
    objective::within_positions,
    optimiser::Optimiser,
    step::{gradients_by, train_only},
    weights::{fill_optimiser, take_trained},
};
use burn::tensor::Device;
use kiln_data::{Batch, Corpus, Packer, Prefetch, Tokenizer};
use kiln_infer::block_on;
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
    pub(super) recipe: &'a Recipe,
    pub(super) config: &'a StageConfig,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) built_in: bool,
    pub(super) place: Stage,
    pub(super) corpus: Arc<Corpus>,
    pub(super) objective: Box<dyn Objective>,
    pub(super) optimiser: Optimiser,
    /// The running mean of the weights, from the first step on, if the stage wants one.
    pub(super) average: Option<Average>,
    pub(super) fingerprints: Fingerprints,
    pub(super) step: u64,
    /// Steps of the stages before this one: lines of metrics count over the whole run.
    pub(super) earlier: u64,
    /// Tokens of the whole run.
    pub(super) tokens: u64,
    /// Seconds of earlier processes.
    pub(super) before: f64,
    pub(super) started: Instant,
    pub(super) saved: Option<u64>,
    /// Held-out text of the last validation, with the budget that it was taken for.
    pub(super) held: Option<(u64, Held)>,
}

impl<'a> StageRun<'a> {
    /// The stage of `recipe` at `place` before its first step; the stages before it saw so many `tokens`.
    pub fn new(
        recipe: &'a Recipe,
        place: Stage,
        corpus: Arc<Corpus>,
        tokenizer: &'a Tokenizer,
        objective: Box<dyn Objective>,
        tokens: u64,
    ) -> Self {
        let (before, config) = (&recipe.stages[..place.index], &recipe.stages[place.index]);
        let fingerprints = Fingerprints {
            recipe: sha256(recipe.to_toml().as_bytes()),
            tokenizer: tokenizer.fingerprint(),
            corpus: corpus.training.fingerprint().to_string(),
        };
        Self {
            recipe,
            config,
            tokenizer,
            built_in: text::built_in(config.data(recipe)),
            place,
            corpus,
            objective,
            optimiser: Optimiser::new(&config.optimiser),
            average: None,
            fingerprints,
            step: 0,
            earlier: before.iter().map(|stage| stage.steps).sum(),
            tokens,
            before: 0.0,
            started: Instant::now(),
            saved: None,
            held: None,
        }
    }

    /// Tokens that the run was trained on.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.step
    }

    /// As it was at a checkpoint.
    pub fn restore(&mut self, models: Models, found: Found, device: &Device) -> Result<Models, Failure> {
        found.check(&self.fingerprints)?;
        let Checkpoint { state, model, mut train } = found.checkpoint;
        let folder = self.place.checkpoints().folder(state.step);
        let mut models = Models { policy: fill(models.policy, model, &folder.join(MODEL))? };
        if let Some(decay) = self.config.ema {
            self.average = Some(Average::new(&models.policy, decay));
            models.policy = fill(models.policy, take_trained(&mut train), &folder.join(TRAIN))?;
        }
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
            return Ok((self.left(models), Ended::Done));
        }
        let mut models = Models { policy: self.only(models.policy)? };
        if let Some(decay) = config.ema {
            self.average.get_or_insert_with(|| Average::new(&models.policy, decay));
        }
        self.announce(&models, log, watch)?;
        self.started = Instant::now();
        self.validate_start(&models, log, watch)?;
        let packer = Packer::training(self.corpus.clone(), config.length, self.recipe.seed)?;
        let rows = config.rows;
        // Counted over the whole run: a stage on the same text goes on where the one before it ended.
        let all = self.earlier + self.step..self.earlier + config.steps;
        for packed in Prefetch::new(4, all, move |step| packer.step(step, rows)) {
            let random = Random::new(self.recipe.seed, "objective", self.earlier + self.step, 0);
            let batch = block_on(self.objective.batch(&packed?, &models, random))?;
            let batch = within_positions(batch, &models.policy);
            let (parts, draws) = (parts(&batch, config.accumulate), self.draws());
            let found = gradients_by(&models, &parts, &*self.objective, draws, config.recompute);
            let row = self.figures(&found, &batch);
            self.finite(&row, &found, &models, &batch, log)?;
            models.policy = found.apply(models.policy, &mut self.optimiser, row.learning_rate, config.clip);
            (self.step, self.tokens) = (self.step + 1, row.tokens);
            if let Some(average) = &mut self.average {
                average.follow(&models.policy, self.step);
            }
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
        Ok((self.left(models), Ended::Done))
    }

    fn only(&self, model: kiln_models::Model) -> Result<kiln_models::Model, Failure> {
        let index = self.place.index;
        train_only(model, &self.config.trains).map_err(|pattern| {
            let reason = format!("no parameter's name fits `{pattern}`");
            let refusal = Refusal::new(format!("stages[{index}].trains"), reason).instead("trains = [\"*\"]");
            ConfigError::from(refusal).into()
        })
    }
}

fn parts(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.rows / parts;
    (0..parts).map(|i| batch.select(i * rows..(i + 1) * rows)).collect()
}
