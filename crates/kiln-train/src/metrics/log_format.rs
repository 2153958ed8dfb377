//! Formats in which the metrics of a run are also written, for other programs.

use super::{MetricsRow, csv::CsvEncoder, tensorboard::EventEncoder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format in which the metrics are also written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Event file of TensorBoard: scalars, and the generated texts.
    Tensorboard,
    /// Table with one line per step and per evaluation, and one column per metric.
    Csv,
}

/// Encoder of rows of metrics.
///
/// A file is a function of the rows and of the constants of its encoder. It can therefore be written anew from
/// `metrics.jsonl` at any time, to the same bytes.
pub trait MetricsEncoder: std::fmt::Debug + Send {
    /// The whole file for the rows of a run.
    fn encode_file(&mut self, rows: &[MetricsRow]) -> Vec<u8>;

    /// The bytes that a further row adds to the file; none for a row without a value. `None` if the file must be written
    /// anew, because the row has a column that the file lacks.
    fn encode_row(&mut self, row: &MetricsRow) -> Option<Vec<u8>>;
}

impl LogFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Tensorboard, Self::Csv];

    /// Name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensorboard => "tensorboard",
            Self::Csv => "csv",
        }
    }

    /// Name of the file in the run folder. TensorBoard finds event files by the part `tfevents`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Tensorboard => "events.out.tfevents.0.kiln",
            Self::Csv => "metrics.csv",
        }
    }

    /// An encoder for a file that replaces `existing`, the bytes of an earlier file; empty if there is none. `now` is the
    /// Unix time in seconds.
    pub fn encoder(self, existing: &[u8], now: f64) -> Box<dyn MetricsEncoder> {
        match self {
            Self::Tensorboard => Box::new(EventEncoder::continuing(existing, now)),
            Self::Csv => Box::new(CsvEncoder::default()),
        }
    }
}
