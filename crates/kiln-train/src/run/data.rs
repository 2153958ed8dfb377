//! Data of a run: from text to tokens.

use super::{
    environment::{Runtime, pause},
    progress::{ProgressEvent, ProgressListener},
};
use crate::{
    Recipe, TrainError,
    run_folder::RunPaths,
    storage::{Storage, write_atomic},
};
use kiln_data::{
    ChatTemplate, Corpus, DataConfig, Dataset, DiskSpace, ReadFile, ReadReport, SourceConfig, StopSignal, Subset,
    Tokenizer,
};
use std::{path::Path, sync::Arc};

/// Maximum size of the tokens of a subset in memory, in bytes. Larger subsets go to a scratch file.
#[cfg(feature = "files")]
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Storage for the tokens of a corpus: up to 64 MiB per subset in memory, more in a scratch file in `folder`.
#[cfg(feature = "files")]
pub fn token_storage(folder: &Path) -> DiskSpace {
    DiskSpace::with_spill(MAX_MEMORY_BYTES, folder)
}

/// Storage for the tokens of the corpus of a run: [`token_storage`] in its folder for a run on disk, else memory.
#[cfg(feature = "files")]
fn corpus_storage(paths: &RunPaths) -> DiskSpace {
    let folder = paths.storage().disk_path(paths.root());
    folder.map_or_else(DiskSpace::in_memory, |folder| token_storage(&folder))
}

/// Without the feature `files`, all tokens are in memory.
#[cfg(not(feature = "files"))]
fn corpus_storage(_: &RunPaths) -> DiskSpace {
    DiskSpace::in_memory()
}

/// The tokenizer of the run: the saved one, or else a new one, which is trained and saved.
///
/// # Errors
/// If the data cannot be read, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub(super) async fn load_or_train_tokenizer(
    recipe: &Recipe,
    paths: &RunPaths,
    runtime: &dyn Runtime,
    stop: StopSignal<'_>,
    listener: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Ok(saved) = paths.storage().read_text(&paths.tokenizer()) {
        return Ok(Tokenizer::from_json(&saved)?);
    }
    listener.on_event(ProgressEvent::TrainingTokenizer);
    let dataset = open_data_in(&recipe.data, paths.storage(), stop)?;
    let texts = dataset.texts(Subset::Training)?;
    let pause = pause(runtime, stop, "the training of the tokenizer");
    let tokenizer = Tokenizer::train_async(&recipe.tokenizer, texts, pause).await?;
    write_atomic(paths.storage(), &paths.tokenizer(), tokenizer.to_json().as_bytes())?;
    Ok(tokenizer)
}

/// The tokenized data of a stage.
///
/// # Errors
/// If the data cannot be read, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub(super) async fn build_corpus(
    data: &DataConfig,
    tokenizer: &Tokenizer,
    paths: &RunPaths,
    runtime: &dyn Runtime,
    stop: StopSignal<'_>,
    listener: &mut dyn ProgressListener,
) -> Result<Arc<Corpus>, TrainError> {
    let dataset = open_data_in(data, paths.storage(), stop)?;
    let storage = corpus_storage(paths);
    // The run has saved the template of the model that it starts from.
    let template = ChatTemplate::from_files(paths)?;
    let origin = dataset.describe();
    let progress = |done, total| listener.on_event(ProgressEvent::ReadingText(done, total));
    let pause = pause(runtime, stop, &origin);
    let corpus = dataset.build_corpus_async(tokenizer, template.as_ref(), &storage, progress, pause).await?;
    let report = ReadReport { without_answer: corpus.without_answer.clone(), ..dataset.report() };
    listener.on_event(ProgressEvent::CorpusReady {
        documents: corpus.training.num_documents(),
        tokens: corpus.training.num_tokens(),
        validation_tokens: corpus.validation.num_tokens(),
        vocab: tokenizer.vocab_size(),
        report: &report,
    });
    Ok(Arc::new(corpus))
}

/// The sources of `data`, opened. Reading ends with an error when `stop` returns true.
///
/// # Errors
/// If a source cannot be opened, or its format is not recognized.
pub fn open_data<'a>(data: &DataConfig, stop: StopSignal<'a>) -> Result<Dataset<'a>, TrainError> {
    Ok(Dataset::open(data, stop)?)
}

/// [`open_data`] for a run in a storage. Files that the data name are those of the file system for a run on disk, else those of
/// the storage.
///
/// # Errors
/// As [`open_data`].
pub(super) fn open_data_in<'a>(
    data: &DataConfig,
    storage: &dyn Storage,
    stop: StopSignal<'a>,
) -> Result<Dataset<'a>, TrainError> {
    match storage.disk_path(Path::new("")) {
        Some(_) => open_data(data, stop),
        None => Ok(Dataset::open_in_memory(data, &|path| storage.read_shared(path), stop)?),
    }
}

/// [`Dataset::read_labeled_as_text`] for a run in a storage.
///
/// # Errors
/// As [`open_data`].
pub(super) fn read_labeled_as_text_in<'a>(
    dataset: &mut Dataset<'a>,
    data: &DataConfig,
    storage: &dyn Storage,
    stop: StopSignal<'a>,
) -> Result<(), TrainError> {
    let read = |path: &Path| storage.read_shared(path);
    let read = storage.disk_path(Path::new("")).is_none().then_some(&read as ReadFile);
    Ok(dataset.read_labeled_as_text(data, read, stop)?)
}

/// Whether the data are the built-in stories, whose probabilities are known.
pub fn is_builtin_stories(data: &DataConfig) -> bool {
    data.sources.is_empty() && matches!(data.source, SourceConfig::Stories(_))
}
