//! Inputs, targets and attention mask that an objective makes of one text.
//!
//! The batch is made by the code that trains ([`Objective::batch`](kiln_train::Objective::batch)), with one sequence.

use super::{
    model_summary::layout_mask,
    token_text::{is_mask_token, readable_token},
};
use crate::page::{ExampleToken, ObjectiveExample, PatternMask};
use kiln_data::{Batch, DataConfig, DataError, PackedSequences, Sequence, Subset, Tokenizer};
use kiln_infer::block_on;
use kiln_spec::Random;
use kiln_train::{Models, ObjectiveConfig, StageConfig, TrainError, run};

/// Maximum number of tokens of an example on a page.
const PAGE_TOKENS: usize = 24;

/// An example of an objective.
///
/// All lists have one entry per position.
#[derive(Clone, Debug)]
pub struct TextExample {
    /// Component of the objective; empty if it has none.
    pub mode: &'static str,
    /// Tokens of the text.
    pub original: Vec<String>,
    /// Inputs and targets.
    pub tokens: Vec<ExampleToken>,
    /// Attention mask.
    pub pattern: PatternMask,
}

/// Examples of the objective of a stage on its validation text, for the report. Empty if the text can no longer be read.
pub fn stage_examples(
    data: &DataConfig,
    stage: &StageConfig,
    models: &Models,
    tokenizer: &Tokenizer,
) -> Vec<ObjectiveExample> {
    let Some(text) = first_validation_text(data).ok().flatten() else { return Vec::new() };
    let name = stage.objective.name();
    let examples = text_examples(&text, PAGE_TOKENS, &stage.objective, models, tokenizer, 0).unwrap_or_default();
    let examples = examples.into_iter().map(|example| {
        let mode =
            if example.mode.is_empty() { String::new() } else { format!(" ({})", example.mode.replace('_', " ")) };
        let title = format!("Inputs and targets of the objective `{name}`{mode}.");
        ObjectiveExample { title, tokens: example.tokens, pattern: Some(example.pattern) }
    });
    examples.collect()
}

/// Examples on the first `max_tokens` tokens of a text: one for each component of the objective, or one for an objective
/// without components.
///
/// `seed` selects the random masks and prefix lengths. `unified` gives one example for each of its modes.
///
/// # Errors
/// If the tokenizer lacks a special token that the objective needs.
pub fn text_examples(
    text: &str,
    max_tokens: usize,
    objective: &ObjectiveConfig,
    models: &Models,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<Vec<TextExample>, DataError> {
    let packed = pack_text(text, max_tokens, tokenizer);
    let original: Vec<String> = packed.rows[0][0].tokens.iter().map(|id| readable_token(tokenizer, *id)).collect();
    let objective = objective.build();
    let mut components = objective.components();
    if components.is_empty() {
        components = vec![("", objective)];
    }
    let examples = components.into_iter().map(|(mode, component)| {
        let batch = block_on(component.batch(&packed, models, Random::new(seed, "example", 0, 0)))?;
        Ok(TextExample {
            mode,
            original: original.clone(),
            tokens: batch_tokens(&batch, tokenizer),
            pattern: layout_mask(&batch.layout),
        })
    });
    examples.collect()
}

/// The beginning of a text as one sequence, with bos, and with eos if the text is short enough to end.
fn pack_text(text: &str, max_tokens: usize, tokenizer: &Tokenizer) -> PackedSequences {
    let special = tokenizer.special_tokens();
    let mut ids = tokenizer.encode(text);
    let is_complete = ids.len() <= max_tokens;
    ids.truncate(max_tokens);
    if !special.begins_text(&ids) {
        ids.insert(0, special.bos);
    }
    ids.extend(is_complete.then_some(special.eos));
    PackedSequences {
        sequence_length: ids.len(),
        rows: vec![vec![Sequence { tokens: ids, ..Sequence::default() }]],
        vocabulary: tokenizer.vocabulary().clone(),
    }
}

/// Inputs and targets of the first sequence. A weight of 0 means that no loss is computed.
fn batch_tokens(batch: &Batch, tokenizer: &Tokenizer) -> Vec<ExampleToken> {
    let positions = batch.inputs.iter().zip(&batch.targets).zip(&batch.weights);
    let tokens = positions.map(|((input, target), weight)| ExampleToken {
        input: readable_token(tokenizer, *input as u32),
        target: (*weight > 0.0).then(|| readable_token(tokenizer, *target as u32)),
        is_masked: is_mask_token(tokenizer, *input as u32),
    });
    tokens.collect()
}

/// The first validation document in the order of the source; `None` if there is none.
pub fn first_validation_text(data: &DataConfig) -> Result<Option<String>, TrainError> {
    let dataset = run::open_data(data, &|| false)?;
    let text = dataset.texts(Subset::Validation)?.next().transpose()?;
    Ok(text)
}
