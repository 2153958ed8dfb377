//! The learning rate of each step: a linear warm-up to the peak, then a shape that ends at a floor.
//!
//! Steps count from 0. As in the reference (`transformers.get_*_schedule_with_warmup`), a warm-up of `w` steps gives
//! step `k` the rate `peak · k / w`, so that its first step moves nothing. After the last step the rate stays where it
//! is; it never rises again.
mod steps_or_fraction;

pub use steps_or_fraction::StepsOrFraction;

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
    /// Final learning rate as a fraction of `learning_rate`.
    pub min_lr_ratio: f64,
}

/// A straight line from the peak to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (a whole number) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`.
    pub min_lr_ratio: f64,
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
    /// Final learning rate as a fraction of `learning_rate`.
    pub min_lr_ratio: f64,
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
const DEFAULT_WARMUP: StepsOrFraction = StepsOrFraction::Share(0.05);

impl Default for Cosine {
    fn default() -> Self {
        Self { learning_rate: DEFAULT_LEARNING_RATE, warmup: DEFAULT_WARMUP, min_lr_ratio: 0.1 }
    }
}

impl Default for Linear {
    fn default() -> Self {
        Self { learning_rate: DEFAULT_LEARNING_RATE, warmup: DEFAULT_WARMUP, min_lr_ratio: 0.0 }
    }
}

impl Default for Wsd {
    fn default() -> Self {
        Self {
            learning_rate: DEFAULT_LEARNING_RATE,
            warmup: DEFAULT_WARMUP,
            decay: StepsOrFraction::Share(0.2),
            min_lr_ratio: 0.0,
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

    /// Refuses values that cannot work in a stage of `steps` steps; `path` is where the schedule stands in the recipe.
    pub fn check(&self, path: &str, steps: u64) -> Result<(), ValidationError> {
        self.curve().check(steps).map_err(|refusal| refusal.with_path_prefix(self.name()).with_path_prefix(path))
    }

    fn curve(&self) -> ScheduleCurve {
        let (peak, warmup, floor, decay, fall): (_, _, _, _, fn(f64) -> f64) = match *self {
            Self::Cosine(Cosine { learning_rate: peak, warmup, min_lr_ratio: floor }) => {
                (peak, warmup, floor, None, |p| 0.5 * (1.0 + (PI * p).cos()))
            }
            Self::Linear(Linear { learning_rate: peak, warmup, min_lr_ratio: floor }) => {
                (peak, warmup, floor, None, |p| 1.0 - p)
            }
            Self::Wsd(Wsd { learning_rate: peak, warmup, decay, min_lr_ratio: floor }) => {
                (peak, warmup, floor, Some(decay), |p| 1.0 - p)
            }
            Self::Constant(Constant { learning_rate: peak, warmup }) => (peak, warmup, 1.0, None, |_| 1.0),
        };
        ScheduleCurve { learning_rate: peak, warmup, min_lr_ratio: floor, decay, decay_fn: fall }
    }
}

/// What the schedules differ in.
struct ScheduleCurve {
    learning_rate: f64,
    warmup: StepsOrFraction,
    min_lr_ratio: f64,
    /// From the end of the warm-up if absent.
    decay: Option<StepsOrFraction>,
    /// From 1 to 0 as the decay goes from 0 to 1.
    decay_fn: fn(f64) -> f64,
}

impl ScheduleCurve {
    fn factor(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup.to_steps(steps);
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let start = self.decay.map_or(warmup, |decay| steps.saturating_sub(decay.to_steps(steps)));
        let length = steps.saturating_sub(start).max(1);
        let progress = step.saturating_sub(start).min(length) as f64 / length as f64;
        (self.decay_fn)(progress) * (1.0 - self.min_lr_ratio) + self.min_lr_ratio
    }

    fn check(&self, steps: u64) -> Result<(), ValidationError> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(ValidationError::new(
                "peak",
                format!("a learning rate is above 0, found {}", self.learning_rate),
            ));
        }
        if !(0.0..=1.0).contains(&self.min_lr_ratio) {
            let reason = format!("a share of the peak is from 0 to 1, found {}", self.min_lr_ratio);
            return Err(ValidationError::new("floor", reason));
        }
        let (warmup, decay) = (self.warmup.to_steps(steps), self.decay.map_or(0, |decay| decay.to_steps(steps)));
        if warmup.saturating_add(decay) <= steps {
            return Ok(());
        }
        let (key, both) = if warmup > steps { ("warmup", "") } else { ("decay", " with the warm-up before it") };
        let reason = format!("{} steps{both} do not fit into a stage of {steps}", warmup.saturating_add(decay));
        Err(ValidationError::new(key, reason)
            .with_suggestion(format!("{key} = 0.05, a share that fits a stage of any length")))
    }
}

#[cfg(test)]
mod tests;
