//! Rows of metrics as named numbers, for formats that hold a number for each name and step.
//!
//! | name | value |
//! |---|---|
//! | `train/loss`, `train/learning_rate`, `train/gradient_norm` | those of a step |
//! | `train/tokens_per_second` | speed of a step, without the evaluations before it |
//! | `train/NAME` | a metric of the objective over a step |
//! | `auxiliary/NAME` | an auxiliary loss, without its coefficient |
//! | `eval/loss`, `eval/bits_per_byte`, `eval/accuracy` | those of an evaluation |
//! | `eval/floor` | the lowest possible loss on the built-in stories |
//! | `eval/NAME` | a metric of the objective over the evaluation set |
//! | `eval/accuracy/KIND` | the accuracy at tokens of one kind of dependency |
//! | `samples/accepted` | the share of sampled sentences that the grammar of the built-in stories accepts |

use super::{MetricsRow, Samples, StepMetrics, ValidationMetrics};

/// The numbers of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    /// Number of steps of the run.
    pub step: u64,
    /// Training time in seconds, over all stages of the run.
    pub seconds: f64,
    /// Names and values. A value that is not finite is NaN.
    pub values: Vec<(String, f64)>,
}

/// Reader of the numbers of rows. The rows of a run must be read in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScalarReader {
    /// Training tokens of the last step.
    tokens: u64,
    /// Seconds of the last row, since the start of its stage.
    seconds: f64,
    /// Seconds of the stages before.
    earlier_seconds: f64,
}

impl ScalarReader {
    /// The numbers of a row. `None` for a row without any, such as an event.
    pub fn read(&mut self, row: &MetricsRow) -> Option<Scalars> {
        let (seconds, values) = match row {
            MetricsRow::Step(row) => (row.seconds, self.step_values(row)),
            MetricsRow::Validation(row) => (row.seconds, validation_values(row)),
            MetricsRow::Samples(row) => (row.seconds, sample_values(row)),
            MetricsRow::Compression(_) | MetricsRow::Event(_) => return None,
        };
        self.advance(seconds);
        let values = values.into_iter().map(|(name, value)| (name, if value.is_finite() { value } else { f64::NAN }));
        Some(Scalars { step: row.step(), seconds: self.earlier_seconds + self.seconds, values: values.collect() })
    }

    /// Moves the clock to `seconds`. The clock of a stage starts at 0.
    fn advance(&mut self, seconds: f64) {
        if seconds < self.seconds {
            self.earlier_seconds += self.seconds;
        }
        self.seconds = seconds;
    }

    fn step_values(&mut self, row: &StepMetrics) -> Vec<(String, f64)> {
        let mut values = vec![
            ("train/loss".to_string(), row.loss),
            ("train/learning_rate".to_string(), row.learning_rate),
            ("train/gradient_norm".to_string(), row.gradient_norm),
        ];
        // The first step of a stage starts the clock anew.
        let since = if row.seconds < self.seconds { 0.0 } else { self.seconds };
        let tokens = row.tokens.saturating_sub(self.tokens) as f64;
        self.tokens = row.tokens;
        if row.seconds > since {
            values.push(("train/tokens_per_second".to_string(), tokens / (row.seconds - since)));
        }
        values.extend(row.metrics.iter().map(|(name, value)| (format!("train/{name}"), value.unwrap_or(f64::NAN))));
        let auxiliary = row.auxiliary_losses.iter();
        values.extend(auxiliary.map(|(name, value)| (format!("auxiliary/{name}"), value.unwrap_or(f64::NAN))));
        values
    }
}

/// The numbers of an evaluation. Those that the objective does not have are left out.
fn validation_values(row: &ValidationMetrics) -> Vec<(String, f64)> {
    let mut values = vec![("eval/loss".to_string(), row.loss)];
    values.extend(row.reference_loss.map(|floor| ("eval/floor".to_string(), floor)));
    if row.evaluated_tokens > 0 {
        values.push(("eval/bits_per_byte".to_string(), row.bits_per_byte));
        values.push(("eval/accuracy".to_string(), row.accuracy));
    }
    values.extend(row.metrics.iter().map(|(name, metric)| (format!("eval/{name}"), metric.value)));
    let kinds = row.by_dependency.iter().flatten().filter(|(_, count)| count.total > 0);
    values.extend(
        kinds.map(|(kind, count)| (format!("eval/accuracy/{kind}"), count.correct as f64 / count.total as f64)),
    );
    values
}

fn sample_values(row: &Samples) -> Vec<(String, f64)> {
    row.accepted_fraction.map(|share| ("samples/accepted".to_string(), share)).into_iter().collect()
}
