//! The learning rate of each step: a linear warm-up to the peak, then a shape that ends at a floor.
//!
//! Steps count from 0. As in the reference (`transformers.get_*_schedule_with_warmup`), a warm-up of `w` steps gives
//! step `k` the rate `peak · k / w`, so that its first step moves nothing. After the last step the rate stays where it
//! is; it never rises again.
pub use crate::steps_or_fraction::StepsOrFraction;

use std::f64::consts::PI;

use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// Learning-rate schedule: a linear warmup, then the named shape.
    pub enum ScheduleConfig {
        /// Cosine decay from `learning_rate` to its minimum (1608.03983, without restarts).
        "cosine" => Cosine(Cosine) with Card::config_only("1608.03983"),
        /// Linear decay from `learning_rate` to its minimum.
        "linear" => Linear(Linear) with Card::config_only("1810.04805"),
        /// Warmup-stable-decay (2404.06395): constant, then linear decay over the last steps.
        "wsd" => Wsd(Wsd) with Card::config_only("2404.06395"),
        /// Constant learning rate after the warmup.
        "constant" => Constant(Constant) with Card::config_only("after a warm-up: 1706.02677"),
    }
}

/// Half a cosine from the peak to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0.1, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Excludes `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// A straight line from the peak to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Excludes `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// The peak until the last part of the run, then a straight line to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wsd {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Decay phase at the end: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub decay: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Excludes `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// The peak until the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Constant {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
}

const DEFAULT_LEARNING_RATE: f64 = 1e-3;
const DEFAULT_COSINE_MIN_LR_RATIO: f64 = 0.1;
const DEFAULT_WARMUP: StepsOrFraction = StepsOrFraction::Fraction(0.05);

impl Default for Cosine {
    fn default() -> Self {
        Self {
            learning_rate: DEFAULT_LEARNING_RATE,
            warmup: DEFAULT_WARMUP,
            min_lr_ratio: None,
            min_learning_rate: None,
        }
    }
}

impl Default for Linear {
    fn default() -> Self {
        Self {
            learning_rate: DEFAULT_LEARNING_RATE,
            warmup: DEFAULT_WARMUP,
            min_lr_ratio: None,
            min_learning_rate: None,
        }
    }
}

impl Default for Wsd {
    fn default() -> Self {
        Self {
            learning_rate: DEFAULT_LEARNING_RATE,
            warmup: DEFAULT_WARMUP,
            decay: StepsOrFraction::Fraction(0.2),
            min_lr_ratio: None,
            min_learning_rate: None,
        }
    }
}

impl Default for Constant {
    fn default() -> Self {
        Self { learning_rate: DEFAULT_LEARNING_RATE, warmup: DEFAULT_WARMUP }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl ScheduleConfig {
    /// The learning rate of `step`, from 0, in a stage of `steps` steps.
    pub fn learning_rate(&self, step: u64, steps: u64) -> f64 {
        let shape = self.curve();
        shape.learning_rate * shape.factor(step, steps)
    }

    /// Checks the options for a stage of `steps` steps; `path` is the key of the schedule in the recipe.
    ///
    /// # Errors
    /// The first invalid option, with its path.
    pub fn check(&self, path: &str, steps: u64) -> Result<(), ValidationError> {
        self.curve().check(steps).map_err(|refusal| refusal.with_path_prefix(self.name()).with_path_prefix(path))
    }

    /// Writes the default `min_lr_ratio` where neither minimum is given.
    pub fn resolve(&mut self) {
        let ratio = self.curve().min_lr_ratio;
        let (min_lr_ratio, min_learning_rate) = match self {
            Self::Cosine(cosine) => (&mut cosine.min_lr_ratio, cosine.min_learning_rate),
            Self::Linear(linear) => (&mut linear.min_lr_ratio, linear.min_learning_rate),
            Self::Wsd(wsd) => (&mut wsd.min_lr_ratio, wsd.min_learning_rate),
            Self::Constant(_) => return,
        };
        if min_learning_rate.is_none() {
            min_lr_ratio.get_or_insert(ratio);
        }
    }

    fn curve(&self) -> ScheduleCurve {
        match self {
            Self::Cosine(config) => ScheduleCurve {
                learning_rate: config.learning_rate,
                warmup: config.warmup,
                min_lr_ratio: config.min_lr_ratio.unwrap_or(DEFAULT_COSINE_MIN_LR_RATIO),
                min_learning_rate: config.min_learning_rate,
                excluded: config.min_lr_ratio.is_some() && config.min_learning_rate.is_some(),
                decay: None,
                decay_fn: half_cosine,
            },
            Self::Linear(config) => ScheduleCurve {
                learning_rate: config.learning_rate,
                warmup: config.warmup,
                min_lr_ratio: config.min_lr_ratio.unwrap_or(0.0),
                min_learning_rate: config.min_learning_rate,
                excluded: config.min_lr_ratio.is_some() && config.min_learning_rate.is_some(),
                decay: None,
                decay_fn: straight_line,
            },
            Self::Wsd(config) => ScheduleCurve {
                learning_rate: config.learning_rate,
                warmup: config.warmup,
                min_lr_ratio: config.min_lr_ratio.unwrap_or(0.0),
                min_learning_rate: config.min_learning_rate,
                excluded: config.min_lr_ratio.is_some() && config.min_learning_rate.is_some(),
                decay: Some(config.decay),
                decay_fn: straight_line,
            },
            Self::Constant(config) => ScheduleCurve {
                learning_rate: config.learning_rate,
                warmup: config.warmup,
                min_lr_ratio: 1.0,
                min_learning_rate: None,
                excluded: false,
                decay: None,
                decay_fn: one,
            },
        }
    }
}

/// From 1 to 0 along half a cosine as `progress` goes from 0 to 1 (1608.03983, equation 5).
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

/// From 1 to 0 in a straight line as `progress` goes from 0 to 1.
fn straight_line(progress: f64) -> f64 {
    1.0 - progress
}

fn one(_progress: f64) -> f64 {
    1.0
}

/// The common form of all schedules: a linear warmup, a constant phase, and a decay to the minimum.
struct ScheduleCurve {
    learning_rate: f64,
    warmup: StepsOrFraction,
    /// Ratio of the final learning rate if `min_learning_rate` is absent.
    min_lr_ratio: f64,
    min_learning_rate: Option<f64>,
    /// Whether the recipe gives both minima, which exclude each other.
    excluded: bool,
    /// Length of the decay at the end of the stage. Absent: from the end of the warmup.
    decay: Option<StepsOrFraction>,
    /// From 1 to 0 as the decay goes from 0 to 1.
    decay_fn: fn(f64) -> f64,
}

impl ScheduleCurve {
    /// The learning rate of `step` as a fraction of `learning_rate`.
    fn factor(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup.to_steps(steps);
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let start = self.decay.map_or(warmup, |decay| steps.saturating_sub(decay.to_steps(steps)));
        let length = steps.saturating_sub(start).max(1);
        let progress = step.saturating_sub(start).min(length) as f64 / length as f64;
        let minimum = self.min_learning_rate.map_or(self.min_lr_ratio, |minimum| minimum / self.learning_rate);
        (self.decay_fn)(progress) * (1.0 - minimum) + minimum
    }

    fn check(&self, steps: u64) -> Result<(), ValidationError> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let reason = format!("must be above 0, found {}", self.learning_rate);
            return Err(ValidationError::new("learning_rate", reason));
        }
        self.check_minimum()?;
        let warmup = self.warmup.to_steps(steps);
        let decay = self.decay.map_or(0, |decay| decay.to_steps(steps));
        if warmup.saturating_add(decay) <= steps {
            return Ok(());
        }
        let (key, both) = if warmup > steps { ("warmup", "") } else { ("decay", " with the warmup before it") };
        let reason = format!("{} steps{both} do not fit into a stage of {steps}", warmup.saturating_add(decay));
        Err(ValidationError::new(key, reason)
            .with_suggestion(format!("{key} = 0.05, a fraction that fits a stage of any length")))
    }

    fn check_minimum(&self) -> Result<(), ValidationError> {
        if self.excluded {
            return Err(ValidationError::new("min_learning_rate", "excludes `min_lr_ratio`")
                .with_suggestion("set only one of them; with --set, assign the whole schedule"));
        }
        if !(0.0..=1.0).contains(&self.min_lr_ratio) {
            let reason = format!("must be from 0 to 1, found {}", self.min_lr_ratio);
            return Err(ValidationError::new("min_lr_ratio", reason));
        }
        match self.min_learning_rate {
            Some(minimum) if !(0.0..=self.learning_rate).contains(&minimum) => {
                let reason = format!("must be from 0 to learning_rate = {}, found {minimum}", self.learning_rate);
                Err(ValidationError::new("min_learning_rate", reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
