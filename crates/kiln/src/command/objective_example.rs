//! Inputs, targets and attention mask that an objective makes of one text.
//!
//! The batch is made by the code that trains ([`Objective::batch`](kiln_train::Objective::batch)), with one sequence.

use super::{
    example_row::shortest_group,
    model_summary::layout_mask,
    token_text::{is_mask_token, readable_token},
};
use crate::page::{ExampleToken, ObjectiveExample, PatternMask};
use kiln_data::{
    Batch, ChatTemplate, DataConfig, DataError, ExampleKind, PackedSequences, Packer, Sequence, Subset, Tokenizer,
};
use kiln_infer::block_on;
use kiln_spec::Random;
use kiln_train::{Models, ObjectiveConfig, StageConfig, TrainError, run};
use std::{collections::BTreeSet, sync::Arc};

/// Maximum number of tokens of a text on a page.
const PAGE_TOKENS: usize = 24;

/// Maximum number of tokens of another example on a page, such as a conversation.
const PAGE_GROUP_TOKENS: usize = 96;

/// Maximum number of tokens of the examples among which that of the page is chosen.
const MAX_GROUP_TOKENS: usize = 1 << 14;

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

/// Examples of the objective of a stage on its validation data, for the report. Empty if the data can no longer be read.
/// `template` is the chat template of the run.
pub fn stage_examples(
    data: &DataConfig,
    stage: &StageConfig,
    models: &Models,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Vec<ObjectiveExample> {
    let Some(packed) = validation_row(data, tokenizer, template).ok().flatten() else { return Vec::new() };
    let name = stage.objective.name();
    let examples = packed_examples(&packed, &stage.objective, models, tokenizer, 0).unwrap_or_default();
    let examples = examples.into_iter().map(|example| {
        let mode =
            if example.mode.is_empty() { String::new() } else { format!(" ({})", example.mode.replace('_', " ")) };
        let title = format!("Inputs and targets of the objective `{name}`{mode}.");
        ObjectiveExample { title, tokens: example.tokens, pattern: Some(example.pattern) }
    });
    examples.collect()
}

/// The beginning of the first validation document, or a short validation example of another kind, as a row.
fn validation_row(
    data: &DataConfig,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Option<PackedSequences>, TrainError> {
    let dataset = run::open_data(data, &|| false)?;
    let has_template = template.is_some() || data.template.is_some();
    if dataset.summaries().all(|source| matches!(source.kind(has_template), ExampleKind::Text | ExampleKind::Labeled)) {
        let text = dataset.texts(Subset::Validation)?.next().transpose()?;
        return Ok(text.map(|text| pack_text(&text, PAGE_TOKENS, tokenizer)));
    }
    let corpus = dataset.build_corpus(tokenizer, template, &run::token_storage(&std::env::temp_dir()), |_, _| ())?;
    let packer = Packer::validation(Arc::new(corpus), MAX_GROUP_TOKENS, Some(MAX_GROUP_TOKENS as u64))?;
    Ok(shortest_group(&packer, PAGE_GROUP_TOKENS)?)
}

/// Examples on the sequences of one row: one for each component of the objective, or one for an objective without
/// components. Several sequences have headings, such as the two answers of a preference.
///
/// `seed` selects the random masks and prefix lengths. `unified` gives one example for each of its modes.
///
/// # Errors
/// If the tokenizer lacks a special token that the objective needs.
pub fn packed_examples(
    packed: &PackedSequences,
    objective: &ObjectiveConfig,
    models: &Models,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<Vec<TextExample>, DataError> {
    let original = packed.rows[0].iter().flat_map(|sequence| &sequence.tokens);
    let original: Vec<String> = original.map(|id| readable_token(tokenizer, *id)).collect();
    let objective = objective.build();
    let mut components = objective.components();
    if components.is_empty() {
        components = vec![("", objective)];
    }
    let examples = components.into_iter().map(|(mode, component)| {
        let batch = block_on(component.batch(packed, models, Random::new(seed, "example", 0, 0)))?;
        let mut tokens = batch_tokens(&batch, tokenizer);
        set_headings(&mut tokens, &batch, component.accepts());
        Ok(TextExample { mode, original: original.clone(), tokens, pattern: layout_mask(&batch.layout) })
    });
    examples.collect()
}

/// Names the sequences of a batch above their first tokens. A single sequence has no name.
fn set_headings(tokens: &mut [ExampleToken], batch: &Batch, kinds: &[ExampleKind]) {
    let groups: BTreeSet<usize> = batch.sequences.iter().map(|sequence| sequence.group).collect();
    if batch.sequences.len() < 2 {
        return;
    }
    for sequence in &batch.sequences {
        let name = member_name(kinds, sequence.member);
        let number = groups.iter().position(|group| *group == sequence.group).unwrap_or_default() + 1;
        let heading = if groups.len() > 1 { format!("{number}: {name}") } else { name };
        if let Some(token) = tokens.get_mut(sequence.row * batch.sequence_length + sequence.column) {
            token.heading = heading;
        }
    }
}

/// What a sequence is in its group, for an objective that accepts examples of these kinds.
fn member_name(kinds: &[ExampleKind], member: usize) -> String {
    match (kinds.first(), member) {
        (Some(ExampleKind::Preference), 0) => "chosen".into(),
        (Some(ExampleKind::Preference), 1) => "rejected".into(),
        (Some(ExampleKind::Pair), 0) => "anchor".into(),
        (Some(ExampleKind::Pair), 1) => "positive".into(),
        (Some(ExampleKind::Pair), member) => format!("negative {}", member - 1),
        (_, member) => format!("sequence {}", member + 1),
    }
}

/// The beginning of a text as one sequence, with bos, and with eos if the text is short enough to end.
pub fn pack_text(text: &str, max_tokens: usize, tokenizer: &Tokenizer) -> PackedSequences {
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

/// Inputs, targets and weights of a batch. A weight of 0 means that no loss is computed.
fn batch_tokens(batch: &Batch, tokenizer: &Tokenizer) -> Vec<ExampleToken> {
    let positions = batch.inputs.iter().zip(&batch.targets).zip(&batch.weights);
    let tokens = positions.map(|((input, target), weight)| ExampleToken {
        input: readable_token(tokenizer, *input as u32),
        target: (*weight > 0.0).then(|| readable_token(tokenizer, *target as u32)),
        weight: *weight,
        is_masked: is_mask_token(tokenizer, *input as u32),
        heading: String::new(),
    });
    tokens.collect()
}

/// The first validation document in the order of the source; `None` if there is none.
pub fn first_validation_text(data: &DataConfig) -> Result<Option<String>, TrainError> {
    let dataset = run::open_data(data, &|| false)?;
    let text = dataset.texts(Subset::Validation)?.next().transpose()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_data::TokenizerConfig;
    use kiln_models::{Model, ModelConfig};

    #[test]
    fn the_sequences_of_a_group_are_named_and_show_what_is_trained() {
        let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("abcd")]).unwrap();
        let config = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 8, ..ModelConfig::default() };
        let models = Models::new(Model::init(&config, 0, &Device::flex()));
        let member = |member: usize, weights: [f32; 4]| Sequence {
            tokens: tokenizer.encode("abcd"),
            loss_weights: Some(weights.to_vec()),
            member,
            ..Sequence::default()
        };
        let row = vec![member(0, [0.0, 0.0, 1.0, 0.5]), member(1, [0.0, 0.0, 0.0, 1.0])];
        let packed =
            PackedSequences { sequence_length: 8, rows: vec![row], vocabulary: tokenizer.vocabulary().clone() };
        let chat = ObjectiveConfig::Chat(Default::default());
        let examples = packed_examples(&packed, &chat, &models, &tokenizer, 0).unwrap();
        let tokens = &examples[0].tokens;
        let headings: Vec<&str> = tokens.iter().map(|token| token.heading.as_str()).collect();
        assert_eq!(headings, ["sequence 1", "", "", "", "sequence 2", "", "", ""]);
        let targets: Vec<(Option<&str>, f32)> = tokens.iter().map(|t| (t.target.as_deref(), t.weight)).collect();
        let none = (None, 0.0);
        assert_eq!(targets, [none, (Some("c"), 1.0), (Some("d"), 0.5), none, none, none, (Some("d"), 1.0), none]);
        let pattern = &examples[0].pattern;
        assert!(pattern.is_visible(5, 4) && !pattern.is_visible(4, 3), "the sequences do not see each other");
    }

    #[test]
    fn members_are_named_by_the_kind_of_the_example() {
        let names = |kind| [0, 1, 2].map(|member| member_name(&[kind], member));
        assert_eq!(names(ExampleKind::Preference), ["chosen", "rejected", "sequence 3"]);
        assert_eq!(names(ExampleKind::Pair), ["anchor", "positive", "negative 1"]);
        assert_eq!(names(ExampleKind::Chat), ["sequence 1", "sequence 2", "sequence 3"]);
    }
}
