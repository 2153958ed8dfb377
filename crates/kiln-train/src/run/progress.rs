//! Progress events of a run.

use crate::{metrics::MetricsRow, objective::RequiredText};
use kiln_data::{ReadReport, SourceSummary};
use std::path::Path;

/// Progress event of a run.
#[derive(Clone, Debug)]
pub enum ProgressEvent<'a> {
    /// The run folder was created or opened.
    RunOpened(&'a Path),
    /// The format of a source of examples was recognized, or is the named one.
    DataRecognized(&'a SourceSummary),
    /// The data are being read: bytes read, and the total if it is known.
    ReadingText(u64, Option<u64>),
    /// The tokenizer is being trained.
    TrainingTokenizer,
    /// The data have been tokenized.
    CorpusReady {
        /// Number of training documents.
        documents: usize,
        /// Number of training tokens.
        tokens: u64,
        /// Number of validation tokens.
        validation_tokens: u64,
        /// Vocabulary size.
        vocab: usize,
        /// Documents by format, bad rows and skipped files.
        report: &'a ReadReport,
    },
    /// The number of training documents with a text that the objective requires was counted.
    TextMatched {
        /// The text.
        required: &'a RequiredText,
        /// Number of documents that contain it; above 0.
        matching: usize,
        /// Number of all training documents.
        documents: usize,
    },
    /// A stage starts or is resumed.
    StageStarted {
        /// Name of the stage.
        name: &'a str,
        /// Number of parameters of the model, and number of trainable ones.
        parameters: (usize, usize),
        /// Number of completed steps of the stage.
        steps_done: u64,
        /// Number of steps of the stage.
        steps: u64,
        /// Number of epochs that the steps were computed from, if the recipe gives them.
        epochs: Option<f64>,
    },
    /// The run folder was removed, because an error in the text ended the run before its first checkpoint.
    RunRemoved(&'a Path),
    /// A row of metrics was written.
    Metrics(&'a MetricsRow),
    /// A checkpoint of this step was saved.
    CheckpointSaved(u64),
    /// The stage was already completed, after this number of steps.
    AlreadyFinished(u64),
}

/// Listener for the progress of a run, such as a progress bar.
pub trait ProgressListener {
    /// Called for each event, from the thread of the training loop.
    fn on_event(&mut self, event: ProgressEvent);
}

/// Ignores all events.
impl ProgressListener for () {
    fn on_event(&mut self, _event: ProgressEvent) {}
}
