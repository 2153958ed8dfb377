//! Stories, exact log-probabilities and determined tokens: the public functions of [`super`].

use std::{collections::BTreeSet, ops::Range};

use kiln_spec::Random;

use super::{
    belief::{Belief, end_probability, normalize},
    generate::generate,
    grammar::templates_for,
    lexicon,
    parse::SentenceParser,
    segment::{ambiguous_starts, split_sentences, split_tokens},
    sentence_kind::SentenceKind,
    slot::TemplatePart,
    state::StoryState,
};

/// Story with its exact log-probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Text of the story.
    pub text: String,
    /// Log-probability of the text in nats, including the end of the story.
    pub log_prob: f64,
}

/// Returns the `index`-th story of a seed with its exact log-probability.
///
/// A story depends on `seed` and `index` only; the random-number stream is named `("story", 0, index)`.
///
/// ```
/// use kiln_data::stories::{log_prob, story};
/// let story = story(0, 7);
/// assert_eq!(log_prob(&story.text).unwrap(), story.log_prob);
/// ```
pub fn story(seed: u64, index: u64) -> Story {
    let (text, derivation_log_prob) = generate(&mut Random::new(seed, "story", 0, index));
    let log_prob = log_prob(&text).unwrap_or(derivation_log_prob);
    Story { text, log_prob }
}

/// Returns the text of the `index`-th story of a seed. Several times faster than [`story`], because nothing is parsed.
pub fn text(seed: u64, index: u64) -> String {
    generate(&mut Random::new(seed, "story", 0, index)).0
}

/// Error for a text that is not a story of the grammar: its probability is 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sentence {} (byte {offset}): {reason}", sentence + 1)]
pub struct GrammarError {
    /// Index of the sentence that does not match, from 0; the number of sentences if the story is incomplete.
    pub sentence: usize,
    /// Byte offset in the text up to which some derivation matches.
    pub offset: usize,
    /// Expected and found text at the offset.
    pub reason: String,
}

/// Reason why a token is determined by the text before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DependencyKind {
    /// The template of the sentence has only this continuation.
    Local,
    /// Agreement in number or gender: verb forms, pronouns.
    Agreement,
    /// Recall of a name, location, thing or number that was mentioned before.
    Recall,
    /// Ownership: which thing belongs to which person.
    Ownership,
}

impl DependencyKind {
    /// All kinds in order of difficulty.
    pub const ALL: [DependencyKind; 4] =
        [DependencyKind::Local, DependencyKind::Agreement, DependencyKind::Recall, DependencyKind::Ownership];

    /// Returns the name in lower case, as used in reports.
    pub fn name(self) -> &'static str {
        match self {
            DependencyKind::Local => "local",
            DependencyKind::Agreement => "agreement",
            DependencyKind::Recall => "recall",
            DependencyKind::Ownership => "ownership",
        }
    }
}

/// Word or punctuation mark that has probability 1 given the text before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeterminedToken {
    /// Byte range in the text, without the preceding space.
    pub range: Range<usize>,
    /// Why it is determined.
    pub kind: DependencyKind,
}

/// Returns the exact log-probability of `text` in nats, including the end of the story, summed over all derivations.
///
/// Uses the forward algorithm described in [`super`]. Time is linear in the number of sentences.
///
/// # Errors
/// [`GrammarError`] if `text` is not a story of the grammar, with the place where it leaves it.
pub fn log_prob(text: &str) -> Result<f64, GrammarError> {
    let mut sum = 0.0;
    parse_story(text, false, |_, p| sum += p.ln())?;
    Ok(sum)
}

/// Returns the words and punctuation marks of `text` that have probability 1 given the text before them, in order.
///
/// A token is determined if no derivation of any prefix state forks at it. The kind is that of the slot that covers the
/// token in the most probable derivation.
///
/// # Errors
/// [`GrammarError`] if `text` is not a story of the grammar.
pub fn determined_tokens(text: &str) -> Result<Vec<DeterminedToken>, GrammarError> {
    let mut out = Vec::new();
    parse_story(text, true, |parser, _| {
        let trace = &parser.trace;
        let ambiguous: BTreeSet<usize> =
            trace.forks.iter().flat_map(|(position, other)| ambiguous_starts(text, *position, other)).collect();
        for (part, kind) in &trace.best_path {
            let tokens = split_tokens(text, part.clone()).into_iter();
            let determined = tokens.filter(|token| !ambiguous.contains(&token.start));
            out.extend(determined.map(|range| DeterminedToken { range, kind: *kind }));
        }
    })?;
    Ok(out)
}

/// Parses a whole story. Calls `visit` for each sentence with its probability given the sentences before it, and once
/// more for the end of the story.
fn parse_story(text: &str, trace: bool, mut visit: impl FnMut(&SentenceParser, f64)) -> Result<(), GrammarError> {
    let mut parser = SentenceParser::new(text, trace);
    let mut belief = vec![(StoryState::initial(), 1.0)];
    let ranges = split_sentences(text);
    for (sentence, range) in ranges.iter().enumerate() {
        let may_end = end_probability(&belief).0 > 0.0;
        let mut after = parser.parse_sentence(&belief, range.clone());
        if after.is_empty() {
            return Err(grammar_error(text, &belief, sentence, range));
        }
        let p = normalize(&mut after);
        if may_end && trace {
            // The story could have ended instead: the first token of the sentence is not determined.
            parser.trace.forks.push((range.start, ""));
        }
        visit(&parser, p);
        belief = after;
    }
    match end_probability(&belief).0 {
        0.0 => Err(GrammarError {
            sentence: ranges.len(),
            offset: text.len(),
            reason: "the story is incomplete: expected another sentence".to_owned(),
        }),
        p => {
            parser.trace.best_path.clear();
            visit(&parser, p);
            Ok(())
        }
    }
}

/// Error for a sentence without a derivation: parses it again with a trace and reports the furthest mismatch.
fn grammar_error(text: &str, belief: &Belief, sentence: usize, range: &Range<usize>) -> GrammarError {
    let mut parser = SentenceParser::new(text, true);
    parser.parse_sentence(belief, range.clone());
    let forks = &parser.trace.forks;
    let offset = forks.iter().map(|(position, _)| *position).max().unwrap_or(range.start);
    let expected: BTreeSet<&str> =
        forks.iter().filter(|(position, _)| *position == offset).map(|(_, other)| *other).collect();
    let shown: Vec<String> = expected.iter().take(4).map(|other| format!("{other:?}")).collect();
    let ellipsis = if expected.len() > shown.len() { ", …" } else { "" };
    let found = text[text.floor_char_boundary(offset)..].chars().take(16).collect::<String>();
    GrammarError { sentence, offset, reason: format!("expected {}{ellipsis}, found {found:?}", shown.join(" or ")) }
}

/// Returns the distinct words of the grammar in alphabetical (byte) order. Numbers are words; punctuation is not.
pub fn words() -> Vec<&'static str> {
    let parts = SentenceKind::all().flat_map(templates_for).flat_map(|template| &template.parts);
    let words: BTreeSet<&str> = parts
        .flat_map(TemplatePart::literals)
        .chain(lexicon::all_words())
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .collect();
    words.into_iter().filter(|word| !word.is_empty()).collect()
}
