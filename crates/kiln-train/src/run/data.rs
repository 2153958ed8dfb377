//! Data of a run: from text to tokens.

use super::progress::{ProgressEvent, ProgressListener};
use crate::{
    Recipe, TrainError,
    run_folder::{RunPaths, write_atomic},
};
use kiln_data::{
    Corpus, DataConfig, DiskSpace, Source, SourceConfig, StopSignal, StoppableSource, Subset, Tokenizer,
    ValidationSplit,
};
use std::{fs, path::Path, sync::Arc};

/// Maximum size of the tokens of a subset in memory, in bytes. Larger subsets go to a scratch file.
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Storage for the tokens of a corpus: up to 64 MiB per subset in memory, more in a scratch file in `folder`.
pub fn token_storage(folder: &Path) -> DiskSpace {
    DiskSpace::with_spill(MAX_MEMORY_BYTES, folder)
}

/// The tokenizer of the run: the saved one, or else a new one, which is trained and saved.
///
/// # Errors
/// If the data cannot be read, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub fn load_or_train_tokenizer(
    recipe: &Recipe,
    paths: &RunPaths,
    stop: StopSignal,
    listener: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Ok(saved) = fs::read_to_string(paths.tokenizer()) {
        return Ok(Tokenizer::from_json(&saved)?);
    }
    listener.on_event(ProgressEvent::TrainingTokenizer);
    let (source, split) = open_data(&recipe.data, stop)?;
    let tokenizer = Tokenizer::train(&recipe.tokenizer, split.texts(&source, Subset::Training)?)?;
    write_atomic(&paths.tokenizer(), tokenizer.to_json().as_bytes())?;
    Ok(tokenizer)
}

/// The tokenized data of a stage.
///
/// # Errors
/// If the data cannot be read, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub fn build_corpus(
    data: &DataConfig,
    tokenizer: &Tokenizer,
    paths: &RunPaths,
    stop: StopSignal,
    listener: &mut dyn ProgressListener,
) -> Result<Arc<Corpus>, TrainError> {
    let (source, split) = open_data(data, stop)?;
    let storage = token_storage(paths.root());
    let corpus = Corpus::build(&source, &split, tokenizer, &storage, |done, total| {
        listener.on_event(ProgressEvent::ReadingText(done, total))
    })?;
    listener.on_event(ProgressEvent::CorpusReady {
        documents: corpus.training.num_documents(),
        tokens: corpus.training.num_tokens(),
        validation_tokens: corpus.validation.num_tokens(),
        vocab: tokenizer.vocab_size(),
        report: &source.report(),
    });
    Ok(Arc::new(corpus))
}

/// The source of `data`, and its split into training and validation documents. Reading ends with an error when `stop`
/// returns true.
///
/// # Errors
/// If the source cannot be read or is too short, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub fn open_data<'a>(
    data: &DataConfig,
    stop: StopSignal<'a>,
) -> Result<(impl Source + 'a, ValidationSplit), TrainError> {
    let source = StoppableSource::new(data.source.open()?, stop);
    let split = ValidationSplit::new(&source, data.validation)?;
    Ok((source, split))
}

/// Whether the data are the built-in stories, whose probabilities are known.
pub fn is_builtin_stories(data: &DataConfig) -> bool {
    matches!(data.source, SourceConfig::Stories(_))
}
