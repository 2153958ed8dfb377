//! The common form of all schedules.

use super::StepsOrFraction;
use kiln_spec::ValidationError;
use std::f64::consts::PI;

/// A schedule: a linear warmup, a constant phase, and a decay to the minimum.
pub(super) struct ScheduleCurve {
    pub learning_rate: f64,
    pub warmup: StepsOrFraction,
    /// Final learning rate as a fraction of `learning_rate`, if `min_learning_rate` is absent.
    pub min_lr_ratio: f64,
    pub min_learning_rate: Option<f64>,
    /// Whether the recipe gives both minima, which exclude each other.
    pub has_both_minima: bool,
    /// Length of the decay at the end of the stage. Absent: the decay begins at the end of the warmup.
    pub decay: Option<StepsOrFraction>,
    /// From 1 to 0 as the progress of the decay goes from 0 to 1.
    pub decay_fn: fn(f64) -> f64,
}

/// Half a cosine from 1 to 0 as `progress` goes from 0 to 1 (1608.03983, equation 5).
pub(super) fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

/// A straight line from 1 to 0 as `progress` goes from 0 to 1.
pub(super) fn straight_line(progress: f64) -> f64 {
    1.0 - progress
}

/// 1 at any progress: no decay.
pub(super) fn one(_progress: f64) -> f64 {
    1.0
}

impl ScheduleCurve {
    /// A curve that decays to 0 between the end of the warmup and the end of the stage.
    pub fn new(learning_rate: f64, warmup: StepsOrFraction, decay_fn: fn(f64) -> f64) -> Self {
        Self {
            learning_rate,
            warmup,
            min_lr_ratio: 0.0,
            min_learning_rate: None,
            has_both_minima: false,
            decay: None,
            decay_fn,
        }
    }

    /// The curve with its minimum: `min_learning_rate`, or else `min_lr_ratio`, or else `default_ratio`.
    pub fn with_minimum(
        self,
        min_lr_ratio: Option<f64>,
        default_ratio: f64,
        min_learning_rate: Option<f64>,
    ) -> ScheduleCurve {
        Self {
            min_lr_ratio: min_lr_ratio.unwrap_or(default_ratio),
            min_learning_rate,
            has_both_minima: min_lr_ratio.is_some() && min_learning_rate.is_some(),
            ..self
        }
    }

    /// The learning rate of `step` as a fraction of `learning_rate`, in a stage of `steps` steps.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
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

    /// Checks the options for a stage of `steps` steps. Paths in errors begin below the name of the schedule.
    pub fn check(&self, steps: u64) -> Result<(), ValidationError> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let reason = format!("must be a finite number above 0, found {}", self.learning_rate);
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
        if self.has_both_minima {
            return Err(ValidationError::new(
                "min_learning_rate",
                "`min_learning_rate` and `min_lr_ratio` exclude each other",
            )
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
