//! The learning rate of each step: a linear warm-up to the peak, then a shape that ends at a floor.
//!
//! Steps count from 0. As in the reference (`transformers.get_*_schedule_with_warmup`), a warm-up of `w` steps gives
//! step `k` the rate `peak · k / w`, so that its first step moves nothing. After the last step the rate stays where it
//! is; it never rises again.
mod length;

pub use length::Length;

use std::f64::consts::PI;

use kiln_spec::{Card, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// How the learning rate goes over the steps of a stage.
    pub enum ScheduleConfig {
        /// Half a cosine from the peak to the floor (1608.03983, without restarts).
        "cosine" => Cosine(Cosine) with Card::data("1608.03983"),
        /// A straight line from the peak to the floor.
        "linear" => Linear(Linear) with Card::data("1810.04805"),
        /// Warm-up, stable, decay (2404.06395): the peak until the last part of the run, then a straight line to the floor.
        "wsd" => Wsd(Wsd) with Card::data("2404.06395"),
        /// The peak until the end.
        "constant" => Constant(Constant) with Card::data("after a warm-up: 1706.02677"),
    }
}

/// Half a cosine from the peak to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Learning rate at the end of the warm-up.
    pub peak: f64,
    /// Length of the warm-up: a whole number of steps, or a share of the run from 0.0 to 1.0.
    pub warmup: Length,
    /// Where the rate ends, as a share of the peak.
    pub floor: f64,
}

/// A straight line from the peak to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Learning rate at the end of the warm-up.
    pub peak: f64,
    /// Length of the warm-up: a whole number of steps, or a share of the run from 0.0 to 1.0.
    pub warmup: Length,
    /// Where the rate ends, as a share of the peak.
    pub floor: f64,
}

/// The peak until the last part of the run, then a straight line to the floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wsd {
    /// Learning rate at the end of the warm-up and until the decay.
    pub peak: f64,
    /// Length of the warm-up: a whole number of steps, or a share of the run from 0.0 to 1.0.
    pub warmup: Length,
    /// Length of the decay at the end of the run: a whole number of steps, or a share of the run from 0.0 to 1.0.
    pub decay: Length,
    /// Where the rate ends, as a share of the peak.
    pub floor: f64,
}

/// The peak until the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Constant {
    /// Learning rate after the warm-up.
    pub peak: f64,
    /// Length of the warm-up: a whole number of steps, or a share of the run from 0.0 to 1.0.
    pub warmup: Length,
}

const PEAK: f64 = 1e-3;
const WARMUP: Length = Length::Share(0.05);

impl Default for Cosine {
    fn default() -> Self {
        Self { peak: PEAK, warmup: WARMUP, floor: 0.1 }
    }
}

impl Default for Linear {
    fn default() -> Self {
        Self { peak: PEAK, warmup: WARMUP, floor: 0.0 }
    }
}

impl Default for Wsd {
    fn default() -> Self {
        Self { peak: PEAK, warmup: WARMUP, decay: Length::Share(0.2), floor: 0.0 }
    }
}

impl Default for Constant {
    fn default() -> Self {
        Self { peak: PEAK, warmup: WARMUP }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl ScheduleConfig {
    /// The learning rate of `step`, from 0, in a stage of `steps` steps.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        let shape = self.shape();
        shape.peak * shape.factor(step, steps)
    }

    /// Refuses values that cannot work in a stage of `steps` steps; `path` is where the schedule stands in the recipe.
    pub fn check(&self, path: &str, steps: u64) -> Result<(), Refusal> {
        self.shape().check(steps).map_err(|refusal| refusal.within(self.name()).within(path))
    }

    fn shape(&self) -> Shape {
        let (peak, warmup, floor, decay, fall): (_, _, _, _, fn(f64) -> f64) = match *self {
            Self::Cosine(Cosine { peak, warmup, floor }) => {
                (peak, warmup, floor, None, |p| 0.5 * (1.0 + (PI * p).cos()))
            }
            Self::Linear(Linear { peak, warmup, floor }) => (peak, warmup, floor, None, |p| 1.0 - p),
            Self::Wsd(Wsd { peak, warmup, decay, floor }) => (peak, warmup, floor, Some(decay), |p| 1.0 - p),
            Self::Constant(Constant { peak, warmup }) => (peak, warmup, 1.0, None, |_| 1.0),
        };
        Shape { peak, warmup, floor, decay, fall }
    }
}

/// What the schedules differ in.
struct Shape {
    peak: f64,
    warmup: Length,
    floor: f64,
    /// From the end of the warm-up if absent.
    decay: Option<Length>,
    /// From 1 to 0 as the decay goes from 0 to 1.
    fall: fn(f64) -> f64,
}

impl Shape {
    fn factor(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup.steps(steps);
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let start = self.decay.map_or(warmup, |decay| steps.saturating_sub(decay.steps(steps)));
        let length = steps.saturating_sub(start).max(1);
        let progress = step.saturating_sub(start).min(length) as f64 / length as f64;
        (self.fall)(progress) * (1.0 - self.floor) + self.floor
    }

    fn check(&self, steps: u64) -> Result<(), Refusal> {
        if !(self.peak.is_finite() && self.peak > 0.0) {
            return Err(Refusal::new("peak", format!("a learning rate is above 0, found {}", self.peak)));
        }
        if !(0.0..=1.0).contains(&self.floor) {
            let reason = format!("a share of the peak is from 0 to 1, found {}", self.floor);
            return Err(Refusal::new("floor", reason));
        }
        let (warmup, decay) = (self.warmup.steps(steps), self.decay.map_or(0, |decay| decay.steps(steps)));
        if warmup.saturating_add(decay) <= steps {
            return Ok(());
        }
        let (key, both) = if warmup > steps { ("warmup", "") } else { ("decay", " with the warm-up before it") };
        let reason = format!("{} steps{both} do not fit into a stage of {steps}", warmup.saturating_add(decay));
        Err(Refusal::new(key, reason).instead(format!("{key} = 0.05, a share that fits a stage of any length")))
    }
}

#[cfg(test)]
mod tests;
