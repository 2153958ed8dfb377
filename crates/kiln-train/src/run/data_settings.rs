//! Settings that must match something in the data: texts in the options of an objective.

use super::progress::{ProgressEvent, ProgressListener};
use crate::{Objective, StageConfig, TrainError, objective::RequiredText};
use kiln_data::{Corpus, DataError, DocumentPart, Packer};
use kiln_spec::{ValidationError, config::ConfigError};
use std::sync::Arc;

/// Checks that each text that the objective of the stage `stage` requires occurs in a training document, and reports in how
/// many.
///
/// # Errors
/// The first text that occurs in none, with the number of documents.
pub(super) fn check_required_texts(
    objective: &dyn Objective,
    corpus: &Corpus,
    stage: usize,
    listener: &mut dyn ProgressListener,
) -> Result<(), TrainError> {
    for required in objective.required_texts() {
        let documents = corpus.training.num_documents();
        let matching = count_documents(corpus, required.text.as_bytes())?;
        if matching == 0 {
            return Err(no_match(&required, stage, documents, corpus.training.num_tokens()).into());
        }
        listener.on_event(ProgressEvent::TextMatched { required: &required, matching, documents });
    }
    Ok(())
}

/// Checks that examples fit into the rows of a stage, and reports how many are longer and left out.
///
/// # Errors
/// [`DataError::NoExamples`] if none of the training or of the validation examples fits.
pub(super) fn check_lengths(
    stage: &StageConfig,
    corpus: &Arc<Corpus>,
    seed: u64,
    listener: &mut dyn ProgressListener,
) -> Result<(), TrainError> {
    if !corpus.training.parts().iter().any(DocumentPart::is_whole) {
        return Ok(());
    }
    if corpus.validation.num_groups() > 0 {
        Packer::validation(corpus.clone(), stage.row_size(), None)?;
    }
    let too_long = Packer::training(corpus.clone(), stage.row_size(), seed)?.num_too_long();
    if too_long > 0 {
        let (examples, sequence_length) = (corpus.training.num_groups(), stage.sequence_length);
        listener.on_event(ProgressEvent::ExamplesTooLong { too_long, examples, sequence_length });
    }
    Ok(())
}

/// Number of training documents that contain `text`.
fn count_documents(corpus: &Corpus, text: &[u8]) -> Result<usize, DataError> {
    let mut count = 0;
    for document in 0..corpus.training.num_documents() {
        let tokens = corpus.training.document_tokens(document)?;
        count += usize::from(corpus.vocabulary.find_text(text, &tokens).is_some());
    }
    Ok(count)
}

fn no_match(required: &RequiredText, stage: usize, documents: usize, tokens: u64) -> ConfigError {
    let RequiredText { key, text, without } = required;
    let reason = format!(
        "the text {text:?} occurs in none of the {documents} training documents ({tokens} tokens); a document without it \
         {without}"
    );
    ValidationError::new(format!("stages[{stage}].objective.{key}"), reason)
        .with_suggestion("a text that the documents contain, as the tokenizer writes it (`kiln objective show`)")
        .into()
}
