//! What a run tells while it goes.

use crate::metrics::MetricsRow;
use std::path::Path;

/// Something that a run tells.
#[derive(Clone, Debug)]
pub enum ProgressEvent<'a> {
    /// The run's folder is there.
    RunOpened(&'a Path),
    /// Text is being read: bytes done, and how many there are if that is known.
    ReadingText(u64, Option<u64>),
    /// The tokenizer is being trained.
    TrainingTokenizer,
    /// The corpus is ready.
    CorpusReady {
        /// Documents to learn from.
        documents: usize,
        /// Tokens to learn from.
        tokens: u64,
        /// Tokens held out.
        validation_tokens: u64,
        /// Number of tokens there are.
        vocab: usize,
        /// Files left out because they hold no text.
        skipped: usize,
    },
    /// A stage begins, or goes on.
    StageStarted {
        /// Its name.
        name: &'a str,
        /// Parameters of the model, and those that train.
        parameters: (usize, usize),
        /// Steps done.
        steps_done: u64,
        /// Steps in all.
        steps: u64,
    },
    /// A line of metrics.
    Metrics(&'a MetricsRow),
    /// A checkpoint is safe.
    CheckpointSaved(u64),
    /// The run had ended before.
    AlreadyFinished(u64),
}

/// Somebody who is told.
pub trait ProgressListener {
    /// Is told.
    fn on_event(&mut self, news: ProgressEvent);
}

/// Nobody.
impl ProgressListener for () {
    fn on_event(&mut self, _news: ProgressEvent) {}
}
