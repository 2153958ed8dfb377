//! A stage: data + objective + what trains + optimiser + schedule + length.

use crate::{
    Recipe, objective::ObjectiveConfig, optimiser::OptimiserConfig, recompute::Recompute, schedule::ScheduleConfig,
};
use kiln_data::DataConfig;
use kiln_models::ModelConfig;
use kiln_peft::AdapterConfig;
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of a recipe.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Its name, part of the folder that its checkpoints are in.
    pub name: String,
    /// What is trained for.
    pub objective: ObjectiveConfig,
    /// Text of this stage alone; absent: the recipe's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataConfig>,
    /// Adapters that the model gets in this stage. The next one begins with them merged. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterConfig>,
    /// Names of the parameters that train; `*` stands for anything. Where there are adapters, `["*"]` means theirs.
    pub trains: Vec<String>,
    /// How gradients move weights.
    pub optimiser: OptimiserConfig,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
    /// Greatest global norm of the gradients; larger ones are scaled down. Absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Decay of a running mean of the weights, which then is validated, samples and is what the stage leaves. Absent:
    /// the last weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Steps of the optimiser. 0: as many as `tokens` needs.
    pub steps: u64,
    /// Places in rows to train on, padding included, if `steps` is 0.
    pub tokens: u64,
    /// Tokens a row: the longest context that is trained.
    pub length: usize,
    /// Rows a step.
    pub rows: usize,
    /// Parts that a step's rows are worked in, one after the other, to need less memory.
    pub accumulate: usize,
    /// What the backward pass computes again instead of keeping it: less memory for more time, and the same bits.
    pub recompute: Recompute,
    /// How often the run is validated, the end included.
    pub validations: u64,
    /// Most tokens of held-out text at each validation; the last one takes four times as many.
    pub validation_tokens: u64,
    /// Samples written at each validation.
    pub samples: usize,
    /// Most tokens of a sample.
    pub sample_tokens: usize,
    /// Checkpoints of a run, the end included.
    pub checkpoints: u64,
    /// How many of the last checkpoints are kept, besides the best.
    pub keep: usize,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            name: "pretrain".into(),
            objective: ObjectiveConfig::default(),
            data: None,
            adapter: None,
            trains: vec!["*".into()],
            optimiser: OptimiserConfig::default(),
            schedule: ScheduleConfig::default(),
            clip: Some(1.0),
            ema: None,
            steps: 0,
            tokens: 2_000_000,
            length: 256,
            rows: 12,
            accumulate: 1,
            recompute: Recompute::None,
            validations: 10,
            validation_tokens: 16_384,
            samples: 4,
            sample_tokens: 160,
            checkpoints: 4,
            keep: 2,
        }
    }
}

impl StageConfig {
    /// The text that it trains on.
    pub fn data<'a>(&'a self, recipe: &'a Recipe) -> &'a DataConfig {
        self.data.as_ref().unwrap_or(&recipe.data)
    }

    /// Writes down how many steps there are, and what trains.
    pub fn resolve(&mut self) {
        if let Some(adapter) = self.adapter.as_ref().filter(|_| self.trains == ["*"]) {
            self.trains = adapter.trains();
        }
        if self.steps == 0 {
            self.steps = self.tokens.div_ceil((self.length * self.rows).max(1) as u64).max(1);
        }
        self.tokens = self.steps * (self.length * self.rows) as u64;
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        let encoder = model.as_encoder().and_then(|encoder| encoder.position.limit());
        let limit = [model.position.limit(), encoder].into_iter().flatten().min();
        match self {
            _ if self.steps == 0 => refuse("steps", "a stage without steps: `steps` and `tokens` are 0".into()),
            _ if self.length < 2 => refuse("length", format!("rows of at least 2 tokens, found {}", self.length)),
            _ if limit.is_some_and(|most| self.length > most) => refuse(
                "length",
                format!("{} tokens, but model.position has only {}", self.length, limit.unwrap_or_default()),
            ),
            _ if self.rows == 0 || self.length.saturating_mul(self.rows) > 1 << 24 => {
                refuse("rows", format!("from 1 row to 16 M places a step, found {} rows of {}", self.rows, self.length))
            }
            _ if self.accumulate == 0 || !self.rows.is_multiple_of(self.accumulate) => {
                refuse("accumulate", format!("{} parts don't divide {} rows", self.accumulate, self.rows))
            }
            _ if self.clip.is_some_and(|c| c.is_nan() || c <= 0.0) => refuse("clip", "a norm above 0".into()),
            _ if self.ema.is_some_and(|decay| !(0.0..1.0).contains(&decay)) => {
                let found = self.ema.unwrap_or_default();
                refuse("ema", format!("a decay from 0 up to but without 1, found {found}"))
            }
            _ if self.trains.is_empty() => refuse("trains", "nothing would train".into()),
            _ => Ok(()),
        }?;
        self.adapter.iter().try_for_each(|a| a.select(model, &format!("{path}.adapter")).map(drop))?;
        self.optimiser.check(&format!("{path}.optimiser"))?;
        self.schedule.check(&format!("{path}.schedule"), self.steps)?;
        self.objective.check(model, &format!("{path}.objective"))
    }

    /// Whether something that happens `times` times in the stage happens after `done` steps. It always does at the end.
    pub fn due(&self, times: u64, done: u64) -> bool {
        let (times, steps) = (times.min(self.steps), self.steps.max(1));
        done == steps || (times > 0 && done * times / steps > (done.saturating_sub(1)) * times / steps)
    }

    /// Tokens of a validation: as configured, but no more than a share of the training between two of them.
    pub fn validation_budget(&self, done: u64) -> u64 {
        let between = self.tokens / self.validations.max(1) / 8;
        let most = self.validation_tokens.min(between.max(1024));
        if done == self.steps { most * 4 } else { most }
    }
}
