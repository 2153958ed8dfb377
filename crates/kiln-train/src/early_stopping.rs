//! Early stopping: a stage ends when its validation loss no longer improves.

use crate::recipe::invalid;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Early stopping: the stage ends, with a checkpoint, after `patience` evaluations in a row without an improvement of the
/// validation loss. `kiln` then uses the best checkpoint; a next stage starts with the last weights.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Number of evaluations in a row without an improvement.
    pub patience: u64,
    /// Smallest decrease below the best validation loss so far that counts as an improvement, in nats per token.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 3, min_delta: 0.0 }
    }
}

impl EarlyStopping {
    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self { patience: 0, .. } => invalid(path, "patience", "must be at least 1 evaluation, found 0".into()),
            Self { min_delta, .. } if !(*min_delta >= 0.0 && min_delta.is_finite()) => {
                invalid(path, "min_delta", format!("must be a finite number of at least 0, found {min_delta}"))
            }
            _ => Ok(()),
        }
    }
}

/// The evaluations of a stage so far, as early stopping counts them. Saved with each checkpoint.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct EvaluationHistory {
    /// Smallest validation loss so far, and its step within the stage.
    pub best: Option<(f64, u64)>,
    /// Number of evaluations since the last improvement.
    pub without_improvement: u64,
}

impl EvaluationHistory {
    /// Counts an evaluation after `step` steps. A loss that is not finite is no improvement.
    pub fn record(&mut self, loss: f64, step: u64, min_delta: f64) {
        let is_better = loss.is_finite() && self.best.is_none_or(|(best, _)| loss < best - min_delta);
        if is_better {
            self.best = Some((loss, step));
        }
        self.without_improvement = if is_better { 0 } else { self.without_improvement + 1 };
    }

    /// Whether the stage ends, and why, in words.
    pub fn reason_to_stop(&self, config: &EarlyStopping) -> Option<String> {
        (self.without_improvement >= config.patience).then(|| {
            let evaluations = match config.patience {
                1 => "1 evaluation".into(),
                patience => format!("{patience} evaluations"),
            };
            let best = self.best.map(|(loss, step)| format!("; best: {loss:.4} at step {step} of the stage"));
            format!("stopped early: no better validation loss in {evaluations}{}", best.unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of evaluations after which the stage ends.
    fn stops_after(losses: &[f64], patience: u64, min_delta: f64) -> Option<usize> {
        let config = EarlyStopping { patience, min_delta };
        let mut history = EvaluationHistory::default();
        let mut ends = losses.iter().zip(1..).map(|(loss, step)| {
            history.record(*loss, step, min_delta);
            history.reason_to_stop(&config).is_some()
        });
        ends.position(|end| end).map(|index| index + 1)
    }

    #[test]
    fn a_stage_ends_after_evaluations_in_a_row_without_improvement() {
        assert_eq!(stops_after(&[3.0, 2.0, 2.1, 1.9, 2.0, 1.9, 1.95], 3, 0.0), Some(7));
        assert_eq!(stops_after(&[3.0, 2.0, 1.0], 1, 0.0), None);
        assert_eq!(stops_after(&[3.0, 3.0], 1, 0.0), Some(2), "an equal loss is no improvement");
        assert_eq!(stops_after(&[f64::NAN, f64::NAN], 2, 0.0), Some(2));
    }

    #[test]
    fn a_smaller_decrease_than_min_delta_does_not_count() {
        assert_eq!(stops_after(&[2.0, 1.95, 1.92, 1.89], 3, 0.1), None);
        assert_eq!(stops_after(&[2.0, 1.95, 1.92, 1.91], 3, 0.1), Some(4));
    }

    #[test]
    fn the_history_survives_a_checkpoint_to_the_bit() {
        let history = EvaluationHistory { best: Some((0.1 + 0.2, 7)), without_improvement: 2 };
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<EvaluationHistory>(&text).unwrap(), history);
    }

    #[test]
    fn options_out_of_range_are_refused_at_their_path() {
        let path = |config: EarlyStopping| config.check("stages[0].early_stopping").unwrap_err().path;
        assert!(path(EarlyStopping { patience: 0, ..Default::default() }).ends_with("patience"));
        for min_delta in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(path(EarlyStopping { min_delta, ..Default::default() }).ends_with("min_delta"));
        }
        EarlyStopping::default().check("").unwrap();
    }
}
