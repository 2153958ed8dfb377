//! From a recipe's text to tokens.

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

/// Tokens of one side stay in memory up to this many bytes.
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Room for tokens: what doesn't fit into memory goes to a scratch file in `folder`.
pub fn token_storage(folder: &Path) -> DiskSpace {
    DiskSpace::with_spill(MAX_MEMORY_BYTES, folder)
}

/// The run's tokenizer: the saved one, or trained now and saved.
pub fn load_or_train_tokenizer(
    recipe: &Recipe,
    paths: &RunPaths,
    stop: StopSignal,
    watch: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Ok(saved) = fs::read_to_string(paths.tokenizer()) {
        return Ok(Tokenizer::from_json(&saved)?);
    }
    watch.on_event(ProgressEvent::TrainingTokenizer);
    let (source, split) = open_data(&recipe.data, stop)?;
    let tokenizer = Tokenizer::train(&recipe.tokenizer, split.texts(&source, Subset::Training)?)?;
    write_atomic(&paths.tokenizer(), tokenizer.to_json().as_bytes())?;
    Ok(tokenizer)
}

/// The text as tokens.
pub fn build_corpus(
    data: &DataConfig,
    tokenizer: &Tokenizer,
    paths: &RunPaths,
    stop: StopSignal,
    watch: &mut dyn ProgressListener,
) -> Result<Arc<Corpus>, TrainError> {
    let (source, split) = open_data(data, stop)?;
    let room = token_storage(paths.root());
    let corpus = Corpus::build(&source, &split, tokenizer, &room, |done, all| {
        watch.on_event(ProgressEvent::ReadingText(done, all))
    })?;
    watch.on_event(ProgressEvent::CorpusReady {
        documents: corpus.training.num_documents(),
        tokens: corpus.training.num_tokens(),
        validation_tokens: corpus.validation.num_tokens(),
        vocab: tokenizer.vocab_size(),
        skipped: source.num_skipped_files(),
    });
    Ok(Arc::new(corpus))
}

/// A source and how it is split. Reading it ends early once `stop` says so.
///
/// # Errors
/// If it can't be read or is too short, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub fn open_data<'a>(
    data: &DataConfig,
    stop: StopSignal<'a>,
) -> Result<(impl Source + 'a, ValidationSplit), TrainError> {
    let source = StoppableSource::new(data.source.open()?, stop);
    let split = ValidationSplit::new(&source, data.validation)?;
    Ok((source, split))
}

/// Whether the text is the built-in corpus, whose probabilities are known.
pub fn is_built_in(data: &DataConfig) -> bool {
    matches!(data.source, SourceConfig::Stories(_))
}
