//! What a run tells while it goes.

use crate::metrics::Row;
use std::path::Path;

/// Something that a run tells.
#[derive(Clone, Debug)]
pub enum News<'a> {
    /// The run's folder is there.
    Opened(&'a Path),
    /// Text is being read: bytes done, and how many there are if that is known.
    Reading(u64, Option<u64>),
    /// The tokenizer is being trained.
    Tokenizer,
    /// The corpus is ready.
    Corpus {
        /// Documents to learn from.
        documents: usize,
        /// Tokens to learn from.
        tokens: u64,
        /// Tokens held out.
        held_out: u64,
        /// Number of tokens there are.
        vocab: usize,
        /// Files left out because they hold no text.
        skipped: usize,
    },
    /// A stage begins, or goes on.
    Stage {
        /// Its name.
        name: &'a str,
        /// Parameters of the model, and those that train.
        parameters: (usize, usize),
        /// Steps done.
        done: u64,
        /// Steps in all.
        steps: u64,
    },
    /// A line of metrics.
    Row(&'a Row),
    /// A checkpoint is safe.
    Saved(u64),
    /// The run had ended before.
    Finished(u64),
}

/// Somebody who is told.
pub trait Watch {
    /// Is told.
    fn tell(&mut self, news: News);
}

/// Nobody.
impl Watch for () {
    fn tell(&mut self, _news: News) {}
}
