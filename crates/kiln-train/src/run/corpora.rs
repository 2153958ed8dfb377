//! The tokenized texts of a run, each built once.

use super::{data::build_corpus, environment::Runtime, progress::ProgressListener};
use crate::{TrainError, run_folder::RunPaths};
use kiln_data::{Corpus, DataConfig, StopSignal, Tokenizer};
use std::sync::Arc;

/// Tokenized texts by their configuration. Stages with the same data share one.
#[derive(Default)]
pub(super) struct Corpora(Vec<(DataConfig, Arc<Corpus>)>);

impl Corpora {
    /// The corpus of `data`, built if there is none yet.
    ///
    /// # Errors
    /// As [`build_corpus`].
    pub async fn get(
        &mut self,
        data: &DataConfig,
        tokenizer: &Tokenizer,
        paths: &RunPaths,
        runtime: &dyn Runtime,
        stop: StopSignal<'_>,
        listener: &mut dyn ProgressListener,
    ) -> Result<Arc<Corpus>, TrainError> {
        if let Some((_, corpus)) = self.0.iter().find(|(known, _)| known == data) {
            return Ok(corpus.clone());
        }
        let corpus = build_corpus(data, tokenizer, paths, runtime, stop, listener).await?;
        self.0.push((data.clone(), corpus.clone()));
        Ok(corpus)
    }

    /// Drops the texts for which `is_used` is false, to free their memory and scratch files.
    pub fn retain(&mut self, is_used: impl Fn(&DataConfig) -> bool) {
        self.0.retain(|(data, _)| is_used(data));
    }
}
