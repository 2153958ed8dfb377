//! A stage: data + objective + what trains + optimiser + schedule + length.

use crate::{
    Recipe,
    gradient_checkpointing::GradientCheckpointing,
    objective::ObjectiveConfig,
    optimizer::OptimizerConfig,
    schedule::ScheduleConfig,
    steps_or_fraction::{StepsOrFraction, whole_reciprocal},
};
use kiln_data::DataConfig;
use kiln_models::ModelConfig;
use kiln_peft::AdapterConfig;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of a recipe.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Name of the stage; part of its checkpoint folder.
    pub name: String,
    /// Training objective.
    pub objective: ObjectiveConfig,
    /// Data of this stage. Absent: the data of the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataConfig>,
    /// Adapters (such as LoRA) added for this stage. They are merged into the weights before the next stage. Absent: no
    /// adapters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterConfig>,
    /// Patterns of the parameter names to train; `*` matches any characters. With an adapter, `["*"]` selects the
    /// adapter parameters only.
    pub trainable: Vec<String>,
    /// Optimizer.
    pub optimizer: OptimizerConfig,
    /// Learning-rate schedule.
    pub schedule: ScheduleConfig,
    /// Maximum global gradient norm. Gradients above it are scaled down. Absent: no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Decay of an exponential moving average (EMA) of the weights. If set, the averaged weights are evaluated,
    /// sampled, saved and passed to the next stage. Absent: no average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Number of optimizer steps. 0: computed from `tokens`.
    pub steps: u64,
    /// Number of training tokens, padding included. Used if `steps` is 0.
    pub tokens: u64,
    /// Sequence length in tokens: the longest context seen in training.
    pub sequence_length: usize,
    /// Number of sequences per optimizer step, over all parts of `gradient_accumulation`. Hugging Face's
    /// `per_device_train_batch_size` is the size of one part.
    pub batch_size: usize,
    /// Number of parts that a batch is split into to save memory. Gradients are accumulated over the parts. Must divide
    /// `batch_size`.
    pub gradient_accumulation: usize,
    /// Activations recomputed in the backward pass to save memory (gradient checkpointing). The results are
    /// bit-identical.
    pub gradient_checkpointing: GradientCheckpointing,
    /// Evaluation interval: a number of steps (a whole number), or a fraction of the stage (0.1: ten evaluations). The
    /// last step is always evaluated. 1 evaluates after every step, 1.0 and 0 after the last step only. 0 also skips the
    /// evaluation before the first step of a run with `from`.
    pub eval_every: StepsOrFraction,
    /// Maximum number of validation tokens per evaluation. The last evaluation uses four times as many.
    pub eval_tokens: u64,
    /// Number of texts generated at each evaluation.
    pub num_samples: usize,
    /// Maximum number of new tokens per sample.
    pub sample_tokens: usize,
    /// Checkpoint interval: a number of steps (a whole number), or a fraction of the stage (0.25: four checkpoints). The
    /// last step is always saved. 1 saves after every step, 1.0 and 0 after the last step only.
    pub checkpoint_every: StepsOrFraction,
    /// Number of most recent checkpoints to keep. The best one is always kept.
    pub keep_checkpoints: usize,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            name: "pretrain".into(),
            objective: ObjectiveConfig::default(),
            data: None,
            adapter: None,
            trainable: vec!["*".into()],
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            max_grad_norm: Some(1.0),
            ema_decay: None,
            steps: 0,
            tokens: 2_000_000,
            sequence_length: 256,
            batch_size: 12,
            gradient_accumulation: 1,
            gradient_checkpointing: GradientCheckpointing::None,
            eval_every: StepsOrFraction::Fraction(0.1),
            eval_tokens: 16_384,
            num_samples: 4,
            sample_tokens: 160,
            checkpoint_every: StepsOrFraction::Fraction(0.25),
            keep_checkpoints: 2,
        }
    }
}

impl StageConfig {
    /// The text that it trains on.
    pub fn data_config<'a>(&'a self, recipe: &'a Recipe) -> &'a DataConfig {
        self.data.as_ref().unwrap_or(&recipe.data)
    }

    /// Writes down how many steps there are, and what trains.
    pub fn resolve(&mut self) {
        if let Some(adapter) = self.adapter.as_ref().filter(|_| self.trainable == ["*"]) {
            self.trainable = adapter.trainable_patterns();
        }
        self.schedule.resolve();
        if self.steps == 0 {
            self.steps = self.tokens.div_ceil((self.sequence_length * self.batch_size).max(1) as u64).max(1);
        }
        self.tokens = self.steps * (self.sequence_length * self.batch_size) as u64;
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        let encoder = model.encoder_model_config().and_then(|encoder| encoder.position.max_positions());
        let limit = [model.position.max_positions(), encoder].into_iter().flatten().min();
        match self {
            _ if self.steps == 0 => refuse("steps", "a stage without steps: `steps` and `tokens` are 0".into()),
            _ if self.sequence_length < 2 => {
                refuse("sequence_length", format!("at least 2 tokens, found {}", self.sequence_length))
            }
            _ if limit.is_some_and(|max| self.sequence_length > max) => refuse(
                "sequence_length",
                format!("{} tokens, but model.position has only {}", self.sequence_length, limit.unwrap_or_default()),
            ),
            _ if self.batch_size == 0 || self.sequence_length.saturating_mul(self.batch_size) > 1 << 24 => refuse(
                "batch_size",
                format!(
                    "1 to 2^24 tokens per step, found {} sequences of {} tokens",
                    self.batch_size, self.sequence_length
                ),
            ),
            _ if self.gradient_accumulation == 0 || !self.batch_size.is_multiple_of(self.gradient_accumulation) => {
                refuse(
                    "gradient_accumulation",
                    format!("must divide batch_size = {}, found {}", self.batch_size, self.gradient_accumulation),
                )
            }
            _ if self.max_grad_norm.is_some_and(|c| c.is_nan() || c <= 0.0) => {
                refuse("max_grad_norm", "a norm above 0".into())
            }
            _ if self.ema_decay.is_some_and(|decay| !(0.0..1.0).contains(&decay)) => {
                let found = self.ema_decay.unwrap_or_default();
                refuse("ema_decay", format!("a decay from 0 up to but without 1, found {found}"))
            }
            _ if self.trainable.is_empty() => refuse("trainable", "nothing would train".into()),
            _ => Ok(()),
        }?;
        self.adapter.iter().try_for_each(|a| a.build_adapters(model, &format!("{path}.adapter")).map(drop))?;
        self.optimizer.check(&format!("{path}.optimizer"))?;
        self.schedule.check(&format!("{path}.schedule"), self.steps)?;
        self.objective.check(model, &format!("{path}.objective"))
    }

    /// Whether an event with the interval `every` is due after `done` steps. It is always due after the last step.
    pub fn is_due(&self, every: StepsOrFraction, done: u64) -> bool {
        let steps = self.steps.max(1);
        let completed_before = every.intervals_completed(done.saturating_sub(1), steps);
        done == steps || every.intervals_completed(done, steps) > completed_before
    }

    /// Maximum number of validation tokens of the evaluation after `done` steps: `eval_tokens`, but at most an eighth of
    /// the training tokens between two evaluations and at least 1024; four times as many after the last step.
    pub fn validation_budget(&self, done: u64) -> u64 {
        let limit = self.eval_tokens.min((self.tokens_per_evaluation() / 8).max(1024));
        if done == self.steps { limit * 4 } else { limit }
    }

    /// Number of training tokens between two evaluations.
    fn tokens_per_evaluation(&self) -> u64 {
        match self.eval_every {
            every if every.is_zero() => self.tokens,
            StepsOrFraction::Steps(interval) => interval * (self.sequence_length * self.batch_size) as u64,
            StepsOrFraction::Fraction(fraction) => match whole_reciprocal(fraction) {
                Some(count) => self.tokens / count,
                None => (self.tokens as f64 * fraction) as u64,
            },
        }
    }
}

#[cfg(test)]
mod tests;
