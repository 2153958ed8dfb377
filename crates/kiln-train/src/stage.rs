//! Training stages: data, objective, optimizer, schedule, length, and the intervals of evaluations and checkpoints.

use crate::{
    Recipe,
    early_stopping::EarlyStopping,
    gradient_checkpointing::GradientCheckpointing,
    objective::{LossUnit, ObjectiveConfig},
    optimizer::OptimizerConfig,
    recipe::invalid,
    schedule::ScheduleConfig,
    steps_or_fraction::{StepsOrFraction, whole_reciprocal},
};
use kiln_data::{DataConfig, RowSize};
use kiln_models::ModelConfig;
use kiln_peft::{AdapterConfig, build_adapters};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of tokens of an optimizer step, padding included: 2²⁴.
const MAX_TOKENS_PER_STEP: usize = 1 << 24;

/// Maximum of `epochs`.
const MAX_EPOCHS: f64 = 1e6;

/// Number of steps for which a schedule is checked while the length of its stage is unknown.
const LONGEST_STAGE: u64 = 1 << 40;

/// Smallest limit on the tokens of an evaluation that follows from the length of a stage.
const MIN_EVAL_LIMIT: u64 = 4096;

/// Configuration of one training stage. A recipe runs its stages in order, each with the weights of the previous one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Name of the stage; part of its checkpoint folder.
    pub name: String,
    /// Training objective.
    pub objective: ObjectiveConfig,
    /// Name of an objective that is implemented in Rust and replaces `objective`. Kiln writes it when a program starts
    /// such a run. Only that program can resume the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_objective: Option<String>,
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
    /// Number of optimizer steps. 0: computed from `epochs`, or else from `tokens`.
    pub steps: u64,
    /// Number of passes over the packed training data, also a fraction. A run computes `steps` from it before its first
    /// step. Absent: the length is given by `steps` or `tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Number of training tokens, padding included. Used if `steps` is 0 and `epochs` is absent.
    pub tokens: u64,
    /// Ends the stage when the validation loss no longer improves. Absent: all steps are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Sequence length in tokens: the longest context seen in training.
    pub sequence_length: usize,
    /// Total number of sequences per optimizer step. With `gradient_accumulation` = n, each forward pass processes
    /// `batch_size` / n of them (Hugging Face: `per_device_train_batch_size` = `batch_size` / n,
    /// `gradient_accumulation_steps` = n).
    pub batch_size: usize,
    /// Number of parts that a batch is split into to save memory. Gradients are accumulated over the parts. Must divide
    /// `batch_size`.
    pub gradient_accumulation: usize,
    /// Activations recomputed in the backward pass to save memory (gradient checkpointing). The results are
    /// bit-identical.
    pub gradient_checkpointing: GradientCheckpointing,
    /// Evaluation interval. An integer is a number of steps (100: every 100 steps; 1: every step). A number with a
    /// decimal point is a fraction of the stage (0.1: ten evaluations; 1.0: only at the end). The last step is always
    /// evaluated. 0: only the last step, and no evaluation before the first step of a run with `from`.
    pub eval_every: StepsOrFraction,
    /// Maximum number of validation tokens of an evaluation. Also limited to 1/8 of the training tokens between two
    /// evaluations, or to 4096 tokens if that is more. All evaluations of a stage, and `kiln eval RUN`, use the same
    /// tokens: those of the documents with the smallest hashes.
    pub eval_tokens: u64,
    /// Number of texts generated at each evaluation.
    pub num_samples: usize,
    /// Maximum number of new tokens per sample.
    pub sample_tokens: usize,
    /// Checkpoint interval. An integer is a number of steps (100: every 100 steps; 1: every step). A number with a
    /// decimal point is a fraction of the stage (0.25: four checkpoints; 1.0: only at the end). The last step is always
    /// saved. 0: only the last step.
    pub checkpoint_every: StepsOrFraction,
    /// Number of most recent checkpoints to keep. The best one is always kept.
    pub keep_checkpoints: usize,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            name: "pretrain".into(),
            objective: ObjectiveConfig::default(),
            external_objective: None,
            data: None,
            adapter: None,
            trainable: vec!["*".into()],
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            max_grad_norm: Some(1.0),
            ema_decay: None,
            steps: 0,
            epochs: None,
            tokens: 2_000_000,
            early_stopping: None,
            sequence_length: 256,
            batch_size: 12,
            gradient_accumulation: 1,
            gradient_checkpointing: GradientCheckpointing::None,
            eval_every: StepsOrFraction::Fraction(0.1),
            eval_tokens: 32_768,
            num_samples: 4,
            sample_tokens: 160,
            checkpoint_every: StepsOrFraction::Fraction(0.25),
            keep_checkpoints: 2,
        }
    }
}

impl StageConfig {
    /// Data of this stage: its own, or that of the recipe.
    pub fn data_config<'a>(&'a self, recipe: &'a Recipe) -> &'a DataConfig {
        self.data.as_ref().unwrap_or(&recipe.data)
    }

    /// Number of tokens of an optimizer step, padding included: `sequence_length` · `batch_size`.
    fn tokens_per_step(&self) -> u64 {
        (self.sequence_length * self.batch_size) as u64
    }

    /// Whether the number of steps is not known yet: it follows from `epochs` and the data.
    pub fn is_length_unknown(&self) -> bool {
        self.steps == 0 && self.epochs.is_some()
    }

    /// Sets the number of steps, and the number of tokens that follows from it.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
        self.tokens = steps * self.tokens_per_step();
    }

    /// Fills in what depends on other keys: `trainable` of a stage with an adapter, `steps` from `tokens`, `tokens`, and
    /// the minimum of the schedule. The steps of `epochs` follow when the data are known.
    pub fn resolve(&mut self) {
        if let Some(adapter) = self.adapter.as_ref().filter(|_| self.trainable == ["*"]) {
            self.trainable = adapter.trainable_patterns();
        }
        self.schedule.resolve();
        self.epochs = self.epochs.filter(|epochs| *epochs != 0.0);
        let steps = match self.steps {
            0 if self.epochs.is_none() => self.tokens.div_ceil(self.tokens_per_step().max(1)).max(1),
            steps => steps,
        };
        self.set_steps(steps);
    }

    /// Checks all options; `path` is the key of the stage in the recipe, such as `stages[0]`.
    ///
    /// # Errors
    /// The first invalid option, with its path.
    pub fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        self.check_lengths(model, path)?;
        self.check_options(path)?;
        let steps = if self.is_length_unknown() { LONGEST_STAGE } else { self.steps };
        if let Some(adapter) = &self.adapter {
            build_adapters(adapter, model, &format!("{path}.adapter"))?;
            adapter.check_steps(&format!("{path}.adapter.{}", adapter.name()), steps)?;
            self.check_virtual_tokens(path)?;
        }
        self.optimizer.check(&format!("{path}.optimizer"))?;
        self.schedule.check(&format!("{path}.schedule"), steps)?;
        self.objective.check(model, &format!("{path}.objective"))?;
        self.check_accumulation(path)
    }

    /// Checks steps, sequence length and batch size.
    fn check_lengths(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let encoder_positions = model.encoder_model_config().and_then(|encoder| encoder.max_positions());
        let max_positions = [model.max_positions(), encoder_positions].into_iter().flatten().min();
        let [length, batch_size, parts] = [self.sequence_length, self.batch_size, self.gradient_accumulation];
        match self {
            Self { epochs: Some(epochs), .. } if !(*epochs > 0.0 && *epochs <= MAX_EPOCHS) => {
                invalid(path, "epochs", format!("must be above 0 and at most {MAX_EPOCHS}, found {epochs}"))
            }
            _ if self.steps == 0 && self.epochs.is_none() => {
                invalid(path, "steps", "the stage has no steps: `steps` and `tokens` are 0".into())
            }
            _ if length < 2 => invalid(path, "sequence_length", format!("must be at least 2 tokens, found {length}")),
            _ if max_positions.is_some_and(|max| length > max) => {
                let max = max_positions.unwrap_or_default();
                invalid(
                    path,
                    "sequence_length",
                    format!("found {length} tokens, but the model supports at most {max} tokens"),
                )
            }
            _ if batch_size == 0 || length.saturating_mul(batch_size) > MAX_TOKENS_PER_STEP => {
                let found = format!("found {batch_size} sequences of {length} tokens");
                invalid(path, "batch_size", format!("must be 1 to 2^24 tokens per step, {found}"))
            }
            _ if parts == 0 || !batch_size.is_multiple_of(parts) => {
                invalid(path, "gradient_accumulation", format!("must divide batch_size = {batch_size}, found {parts}"))
            }
            _ => Ok(()),
        }
    }

    /// The size of a row, with places for the virtual tokens of the adapter.
    pub fn row_size(&self) -> RowSize {
        let reserved = self.adapter.as_ref().map_or(0, AdapterConfig::num_virtual_tokens);
        RowSize { tokens: self.sequence_length, reserved }
    }

    /// Checks that virtual tokens leave room for text.
    fn check_virtual_tokens(&self, path: &str) -> Result<(), ValidationError> {
        let (reserved, length) = (self.row_size().reserved, self.sequence_length);
        if length >= reserved + 2 {
            return Ok(());
        }
        let reason =
            format!("found {length} tokens, but {reserved} virtual tokens and 2 of the text need {}", reserved + 2);
        invalid(path, "sequence_length", reason)
    }

    /// Checks that the objective allows `gradient_accumulation`.
    fn check_accumulation(&self, path: &str) -> Result<(), ValidationError> {
        let parts = self.gradient_accumulation;
        if parts == 1 || self.objective.build().unit() != LossUnit::Batch {
            return Ok(());
        }
        let name = self.objective.name();
        let reason =
            format!("must be 1 for `{name}`, which compares all pairs of a batch with each other, found {parts}");
        let error = ValidationError::new(format!("{path}.gradient_accumulation"), reason);
        Err(error.with_suggestion(
            "gradient_accumulation = 1 with a smaller batch_size, or gradient_checkpointing = \"block\"",
        ))
    }

    /// Checks the options that depend on no other part of the recipe.
    fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        match (self.max_grad_norm, self.ema_decay) {
            (Some(norm), _) if norm.is_nan() || norm <= 0.0 => {
                invalid(path, "max_grad_norm", format!("must be above 0, found {norm}"))
            }
            (_, Some(decay)) if !(0.0..1.0).contains(&decay) => {
                invalid(path, "ema_decay", format!("must be at least 0 and below 1, found {decay}"))
            }
            _ if self.trainable.is_empty() => {
                invalid(path, "trainable", "the list is empty: nothing would train".into())
            }
            _ => match &self.early_stopping {
                Some(early_stopping) => early_stopping.check(&format!("{path}.early_stopping")),
                None => Ok(()),
            },
        }
    }

    /// Whether an evaluation or a checkpoint with the interval `every` is due after `done` steps. Both are always due after the
    /// last step.
    pub fn is_due(&self, every: StepsOrFraction, done: u64) -> bool {
        let steps = self.steps.max(1);
        let completed_before = every.intervals_completed(done.saturating_sub(1), steps);
        done == steps || every.intervals_completed(done, steps) > completed_before
    }

    /// Maximum number of tokens of the validation documents on which every evaluation of the stage is made: `eval_tokens`,
    /// but at most an eighth of the training tokens between two evaluations, so that evaluations take little of the time of
    /// the run, or 4096, so that the loss of a short run is not all noise.
    pub fn eval_set_tokens(&self) -> u64 {
        self.eval_tokens.min((self.tokens_per_evaluation() / 8).max(MIN_EVAL_LIMIT))
    }

    /// Number of training tokens between two evaluations.
    fn tokens_per_evaluation(&self) -> u64 {
        match self.eval_every {
            every if every.is_zero() => self.tokens,
            StepsOrFraction::Steps(interval) => interval.saturating_mul(self.tokens_per_step()),
            StepsOrFraction::Fraction(fraction) => match whole_reciprocal(fraction) {
                Some(count) => self.tokens / count,
                None => (self.tokens as f64 * fraction) as u64,
            },
        }
    }
}

#[cfg(test)]
mod tests;
