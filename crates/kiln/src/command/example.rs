//! What an objective makes of one piece of text.

use super::picture::seen_by;
use crate::page::{Example, ExampleToken, PatternPicture};
use kiln_data::{Batch, DataConfig, Packed, Sequence, Side, Tokenizer};
use kiln_infer::block_on;
use kiln_spec::Random;
use kiln_train::{Failure, Models, Objective, ObjectiveConfig, StageConfig, run};

/// Tokens that are shown.
const LENGTH: usize = 24;

/// A text before and after.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which of the objective's parts made it; empty if it has none.
    pub mode: &'static str,
    /// The tokens of the text.
    pub before: Vec<String>,
    /// What the model is given, and what it is asked.
    pub tokens: Vec<ExampleToken>,
    /// Who sees whom.
    pub seen: PatternPicture,
}

/// The examples of a stage, one for each part of its objective; none if no held-out text can be read (any more).
pub fn of(data: &DataConfig, stage: &StageConfig, models: &Models, tokenizer: &Tokenizer) -> Vec<Example> {
    let Some(text) = held_out(data).ok().flatten() else { return Vec::new() };
    let name = stage.objective.name();
    let example = |shown: Shown| {
        let mode = if shown.mode.is_empty() { String::new() } else { format!(", {},", shown.mode.replace('_', " ")) };
        let title = format!("What the objective `{name}`{mode} gives, and what it asks for.");
        Example { title, tokens: shown.tokens, pattern: Some(shown.seen) }
    };
    of_text(&text, &stage.objective, models, tokenizer, 0).into_iter().map(example).collect()
}

/// What an objective makes of the beginning of a text, part by part if it has parts.
pub fn of_text(
    text: &str,
    objective: &ObjectiveConfig,
    models: &Models,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Vec<Shown> {
    let specials = tokenizer.specials();
    let text = tokenizer.encode(text);
    let end = if text.len() <= LENGTH { vec![specials.eos] } else { Vec::new() };
    let tokens = [vec![specials.bos], text.into_iter().take(LENGTH).collect(), end].concat();
    let (width, before) = (tokens.len(), tokens.iter().map(|id| tokenizer.token(*id)).collect::<Vec<_>>());
    let sequence = Sequence { tokens, document: 0, start: 0, ends: false };
    let packed = Packed { rows: vec![vec![sequence]], width, vocabulary: tokenizer.vocabulary().clone() };
    let shown = |mode, objective: Box<dyn Objective>| {
        let batch = block_on(objective.batch(&packed, models, Random::new(seed, "example", 0, 0))).ok()?;
        Some(Shown { mode, before: before.clone(), tokens: asked(&batch, tokenizer), seen: seen_by(&batch.layout) })
    };
    let objective = objective.build();
    let parts = objective.parts();
    let all = if parts.is_empty() { vec![("", objective)] } else { parts };
    all.into_iter().filter_map(|(mode, objective)| shown(mode, objective)).collect()
}

fn asked(batch: &Batch, tokenizer: &Tokenizer) -> Vec<ExampleToken> {
    let places = batch.inputs.iter().zip(&batch.targets).zip(&batch.weights);
    let token = |((input, target), weight): ((&i32, &i32), &f32)| ExampleToken {
        input: tokenizer.token(*input as u32),
        target: (*weight > 0.0).then(|| tokenizer.token(*target as u32)),
        hidden: hides(tokenizer, *input as u32),
    };
    places.map(token).collect()
}

fn held_out(data: &DataConfig) -> Result<Option<String>, Failure> {
    let (source, split) = run::open(data, &|| false)?;
    let mut texts = split.texts(&source, Side::Validation)?;
    Ok(texts.next().transpose()?)
}

/// Whether a token stands for text that is left out.
fn hides(tokenizer: &Tokenizer, id: u32) -> bool {
    let specials = tokenizer.specials();
    id == specials.mask || specials.sentinels.contains(&id)
}
