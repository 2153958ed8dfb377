//! What an objective makes of one piece of text.

use super::model_summary::layout_mask;
use crate::page::{ExampleToken, ObjectiveExample, PatternMask};
use kiln_data::{Batch, DataConfig, PackedSequences, Sequence, Subset, Tokenizer};
use kiln_infer::block_on;
use kiln_spec::Random;
use kiln_train::{Models, Objective, ObjectiveConfig, StageConfig, TrainError, run};

/// Tokens that are shown.
const MAX_TOKENS: usize = 24;

/// A text before and after.
#[derive(Clone, Debug)]
pub struct TextExample {
    /// Which of the objective's parts made it; empty if it has none.
    pub mode: &'static str,
    /// The tokens of the text.
    pub original: Vec<String>,
    /// What the model is given, and what it is asked.
    pub tokens: Vec<ExampleToken>,
    /// Who sees whom.
    pub pattern: PatternMask,
}

/// The examples of a stage, one for each part of its objective; none if no held-out text can be read (any more).
pub fn stage_examples(
    data: &DataConfig,
    stage: &StageConfig,
    models: &Models,
    tokenizer: &Tokenizer,
) -> Vec<ObjectiveExample> {
    let Some(text) = first_held_out_text(data).ok().flatten() else { return Vec::new() };
    let name = stage.objective.name();
    let example = |shown: TextExample| {
        let mode = if shown.mode.is_empty() { String::new() } else { format!(", {},", shown.mode.replace('_', " ")) };
        let title = format!("What the objective `{name}`{mode} gives, and what it asks for.");
        ObjectiveExample { title, tokens: shown.tokens, pattern: Some(shown.pattern) }
    };
    text_examples(&text, &stage.objective, models, tokenizer, 0).into_iter().map(example).collect()
}

/// What an objective makes of the beginning of a text, part by part if it has parts.
pub fn text_examples(
    text: &str,
    objective: &ObjectiveConfig,
    models: &Models,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Vec<TextExample> {
    let specials = tokenizer.special_tokens();
    let text = tokenizer.encode(text);
    let end = if text.len() <= MAX_TOKENS { vec![specials.eos] } else { Vec::new() };
    let tokens = [vec![specials.bos], text.into_iter().take(MAX_TOKENS).collect(), end].concat();
    let (width, before) = (tokens.len(), tokens.iter().map(|id| tokenizer.id_to_token(*id)).collect::<Vec<_>>());
    let sequence = Sequence { tokens, document: 0, start: 0, ends_document: false };
    let packed = PackedSequences {
        rows: vec![vec![sequence]],
        sequence_length: width,
        vocabulary: tokenizer.vocabulary().clone(),
    };
    let shown = |mode, objective: Box<dyn Objective>| {
        let batch = block_on(objective.batch(&packed, models, Random::new(seed, "example", 0, 0))).ok()?;
        Some(TextExample {
            mode,
            original: before.clone(),
            tokens: batch_tokens(&batch, tokenizer),
            pattern: layout_mask(&batch.layout),
        })
    };
    let objective = objective.build();
    let parts = objective.components();
    let all = if parts.is_empty() { vec![("", objective)] } else { parts };
    all.into_iter().filter_map(|(mode, objective)| shown(mode, objective)).collect()
}

fn batch_tokens(batch: &Batch, tokenizer: &Tokenizer) -> Vec<ExampleToken> {
    let places = batch.inputs.iter().zip(&batch.targets).zip(&batch.weights);
    let token = |((input, target), weight): ((&i32, &i32), &f32)| ExampleToken {
        input: tokenizer.id_to_token(*input as u32),
        target: (*weight > 0.0).then(|| tokenizer.id_to_token(*target as u32)),
        is_masked: is_mask_token(tokenizer, *input as u32),
    };
    places.map(token).collect()
}

fn first_held_out_text(data: &DataConfig) -> Result<Option<String>, TrainError> {
    let (source, split) = run::open_data(data, &|| false)?;
    let mut texts = split.texts(&source, Subset::Validation)?;
    Ok(texts.next().transpose()?)
}

/// Whether a token stands for text that is left out.
fn is_mask_token(tokenizer: &Tokenizer, id: u32) -> bool {
    let specials = tokenizer.special_tokens();
    id == specials.mask || specials.sentinels.contains(&id)
}
