//! Learning-rate schedules: a linear warmup to `learning_rate`, then a shape that ends at a minimum.
//!
//! Steps count from 0. As in the reference (`transformers.get_*_schedule_with_warmup`), step k of a warmup of w steps has
//! the learning rate `learning_rate` · k / w: the first step of a warmup changes no weight. After the last step the
//! learning rate stays at its last value.

mod curve;

pub use crate::steps_or_fraction::StepsOrFraction;

use curve::{ScheduleCurve, half_cosine, one, straight_line};
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
        "constant" => Constant(Constant) with Card::config_only("after a warmup: 1706.02677"),
    }
}

/// Cosine decay: half a cosine from `learning_rate` to the minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (an integer) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0.1, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Cannot be combined with `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// Linear decay: a straight line from `learning_rate` to the minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (an integer) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Cannot be combined with `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// Warmup-stable-decay (WSD): `learning_rate` until the decay phase, then a straight line to the minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wsd {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (an integer) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
    /// Decay phase at the end: a number of steps (an integer) or a fraction of the stage (0.0 to 1.0).
    pub decay: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`. Absent: 0, or given by `min_learning_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_ratio: Option<f64>,
    /// Final learning rate. Cannot be combined with `min_lr_ratio`. Absent: given by `min_lr_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_learning_rate: Option<f64>,
}

/// Constant learning rate after the warmup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Constant {
    /// Peak learning rate, reached at the end of the warmup.
    pub learning_rate: f64,
    /// Warmup: a number of steps (an integer) or a fraction of the stage (0.0 to 1.0).
    pub warmup: StepsOrFraction,
}

const DEFAULT_LEARNING_RATE: f64 = 1e-3;
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
    ///
    /// ```
    /// # use kiln_train::schedule::{ScheduleConfig, StepsOrFraction, Wsd};
    /// let schedule = ScheduleConfig::Wsd(Wsd { learning_rate: 2.0, warmup: StepsOrFraction::Steps(4), ..Wsd::default() });
    /// let rates: Vec<f64> = [0, 2, 4, 80, 90, 100].map(|step| schedule.learning_rate(step, 100)).to_vec();
    /// assert_eq!(rates, [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
    /// ```
    pub fn learning_rate(&self, step: u64, steps: u64) -> f64 {
        let curve = self.curve();
        curve.learning_rate * curve.factor(step, steps)
    }

    /// Checks the options for a stage of `steps` steps; `path` is the key of the schedule in the recipe.
    ///
    /// # Errors
    /// The first invalid option, with its path.
    pub fn check(&self, path: &str, steps: u64) -> Result<(), ValidationError> {
        self.curve().check(steps).map_err(|error| error.with_path_prefix(self.name()).with_path_prefix(path))
    }

    /// Writes the default `min_lr_ratio` where neither minimum is given.
    pub fn resolve(&mut self) {
        let default_ratio = self.curve().min_lr_ratio;
        let (min_lr_ratio, min_learning_rate) = match self {
            Self::Cosine(cosine) => (&mut cosine.min_lr_ratio, cosine.min_learning_rate),
            Self::Linear(linear) => (&mut linear.min_lr_ratio, linear.min_learning_rate),
            Self::Wsd(wsd) => (&mut wsd.min_lr_ratio, wsd.min_learning_rate),
            Self::Constant(_) => return,
        };
        if min_learning_rate.is_none() {
            min_lr_ratio.get_or_insert(default_ratio);
        }
    }

    fn curve(&self) -> ScheduleCurve {
        match self {
            Self::Cosine(cosine) => ScheduleCurve::new(cosine.learning_rate, cosine.warmup, half_cosine).with_minimum(
                cosine.min_lr_ratio,
                0.1,
                cosine.min_learning_rate,
            ),
            Self::Linear(linear) => ScheduleCurve::new(linear.learning_rate, linear.warmup, straight_line)
                .with_minimum(linear.min_lr_ratio, 0.0, linear.min_learning_rate),
            Self::Wsd(wsd) => ScheduleCurve {
                decay: Some(wsd.decay),
                ..ScheduleCurve::new(wsd.learning_rate, wsd.warmup, straight_line).with_minimum(
                    wsd.min_lr_ratio,
                    0.0,
                    wsd.min_learning_rate,
                )
            },
            Self::Constant(constant) => ScheduleCurve::new(constant.learning_rate, constant.warmup, one),
        }
    }
}

#[cfg(test)]
mod tests;
