//! From a recipe's text to tokens.

use super::watch::{News, Watch};
use crate::{
    Failure, Recipe,
    folder::{RunPaths, write_atomic},
};
use kiln_data::{Corpus, DataConfig, Room, Side, Source, SourceConfig, Split, Stop, Tokenizer, Until};
use std::{fs, path::Path, sync::Arc};

/// Tokens of one side stay in memory up to this many bytes.
const IN_MEMORY: usize = 64 << 20;

/// Room for tokens: what doesn't fit into memory goes to a scratch file in `folder`.
pub fn room(folder: &Path) -> Room {
    Room::spilling(IN_MEMORY, folder)
}

/// The run's tokenizer: the saved one, or trained now and saved.
pub fn tokenizer(recipe: &Recipe, paths: &RunPaths, stop: Stop, watch: &mut dyn Watch) -> Result<Tokenizer, Failure> {
    if let Ok(saved) = fs::read_to_string(paths.tokenizer()) {
        return Ok(Tokenizer::from_json(&saved)?);
    }
    watch.tell(News::Tokenizer);
    let (source, split) = open(&recipe.data, stop)?;
    let tokenizer = Tokenizer::train(&recipe.tokenizer, split.texts(&source, Side::Training)?)?;
    write_atomic(&paths.tokenizer(), tokenizer.to_json().as_bytes())?;
    Ok(tokenizer)
}

/// The text as tokens.
pub fn corpus(
    data: &DataConfig,
    tokenizer: &Tokenizer,
    paths: &RunPaths,
    stop: Stop,
    watch: &mut dyn Watch,
) -> Result<Arc<Corpus>, Failure> {
    let (source, split) = open(data, stop)?;
    let room = room(paths.root());
    let corpus = Corpus::build(&source, &split, tokenizer, &room, |done, all| watch.tell(News::Reading(done, all)))?;
    watch.tell(News::Corpus {
        documents: corpus.training.documents(),
        tokens: corpus.training.tokens(),
        held_out: corpus.validation.tokens(),
        vocab: tokenizer.vocab(),
        skipped: source.skipped(),
    });
    Ok(Arc::new(corpus))
}

/// A source and how it is split. Reading it ends early once `stop` says so.
///
/// # Errors
/// If it can't be read or is too short, or [`DataError::Stopped`](kiln_data::DataError::Stopped).
pub fn open<'a>(data: &DataConfig, stop: Stop<'a>) -> Result<(impl Source + 'a, Split), Failure> {
    let source = Until::new(data.source.open()?, stop);
    let split = Split::new(&source, data.validation)?;
    Ok((source, split))
}

/// Whether the text is the built-in corpus, whose probabilities are known.
pub fn built_in(data: &DataConfig) -> bool {
    matches!(data.source, SourceConfig::Stories(_))
}
