//! The public face: a story, its probability, and what the text decides.

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

/// A story with its probability under the generator.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The text.
    pub text: String,
    /// Logarithm of the text's probability, end of story included, in nats.
    pub log_prob: f64,
}

/// The `index`-th story of `seed`.
///
/// ```
/// use kiln_data::stories::{log_prob, story};
/// let story = story(0, 7);
/// assert_eq!(log_prob(&story.text).unwrap(), story.log_prob);
/// ```
pub fn story(seed: u64, index: u64) -> Story {
    let (text, chosen) = generate(&mut Random::new(seed, "story", 0, index));
    let log_prob = log_prob(&text).unwrap_or(chosen);
    Story { text, log_prob }
}

/// The text of the `index`-th story of `seed`, without its probability: several times faster than [`story`].
pub fn text(seed: u64, index: u64) -> String {
    generate(&mut Random::new(seed, "story", 0, index)).0
}

/// A text that no run of the generator gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sentence {} (byte {offset}): {reason}", sentence + 1)]
pub struct GrammarError {
    /// The sentence, counted from 0; the number of sentences if the story breaks off.
    pub sentence: usize,
    /// The byte from which no continuation fits.
    pub offset: usize,
    /// What was expected there and what was found.
    pub reason: String,
}

/// What makes the text decide a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DependencyKind {
    /// The sentence itself has one way to go on.
    Local,
    /// Number or gender: verbs, pronouns.
    Agreement,
    /// A name, place, thing or number told before.
    Recall,
    /// What belongs to whom.
    Ownership,
}

impl DependencyKind {
    /// All kinds, the easiest first.
    pub const ALL: [DependencyKind; 4] =
        [DependencyKind::Local, DependencyKind::Agreement, DependencyKind::Recall, DependencyKind::Ownership];

    /// The kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            DependencyKind::Local => "local",
            DependencyKind::Agreement => "agreement",
            DependencyKind::Recall => "recall",
            DependencyKind::Ownership => "ownership",
        }
    }
}

/// A word or punctuation mark that the text before it decides: the generator goes on with it with probability 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeterminedToken {
    /// Bytes of the text, without the space before.
    pub range: Range<usize>,
    /// Why it is decided.
    pub kind: DependencyKind,
}

/// The logarithm (nats) of the probability of `text`, end of story included, over all derivations.
///
/// # Errors
/// [`Rejected`] if the generator never gives `text`.
pub fn log_prob(text: &str) -> Result<f64, GrammarError> {
    let mut sum = 0.0;
    parse_story(text, false, |_, p| sum += p.ln())?;
    Ok(sum)
}

/// What the text before it decides, in order.
///
/// # Errors
/// [`Rejected`] if the generator never gives `text`.
pub fn determined_tokens(text: &str) -> Result<Vec<DeterminedToken>, GrammarError> {
    let mut out = Vec::new();
    parse_story(text, true, |reader, _| {
        let forks: BTreeSet<usize> =
            reader.trace.forks.iter().flat_map(|(at, other)| ambiguous_starts(text, *at, other)).collect();
        for (piece, kind) in &reader.trace.best_path {
            let open = split_tokens(text, piece.clone()).into_iter().filter(|unit| !forks.contains(&unit.start));
            out.extend(open.map(|range| DeterminedToken { range, kind: *kind }));
        }
    })?;
    Ok(out)
}

/// Reads a story, showing each sentence's probability given those before; the end comes last.
fn parse_story(text: &str, trace: bool, mut seen: impl FnMut(&SentenceParser, f64)) -> Result<(), GrammarError> {
    let mut reader = SentenceParser::new(text, trace);
    let mut belief = vec![(StoryState::initial(), 1.0)];
    let ranges = split_sentences(text);
    for (sentence, range) in ranges.iter().enumerate() {
        let may_end = end_probability(&belief).0 > 0.0;
        let mut after = reader.parse_sentence(&belief, range.clone());
        if after.is_empty() {
            return Err(grammar_error(text, &belief, sentence, range));
        }
        let p = normalize(&mut after);
        if may_end && trace {
            reader.trace.forks.push((range.start, ""));
        }
        seen(&reader, p);
        belief = after;
    }
    match end_probability(&belief).0 {
        0.0 => Err(GrammarError {
            sentence: ranges.len(),
            offset: text.len(),
            reason: "the story breaks off here".to_owned(),
        }),
        p => {
            reader.trace.best_path.clear();
            seen(&reader, p);
            Ok(())
        }
    }
}

/// Reads the sentence again to say where it stops fitting.
fn grammar_error(text: &str, belief: &Belief, sentence: usize, range: &Range<usize>) -> GrammarError {
    let mut reader = SentenceParser::new(text, true);
    reader.parse_sentence(belief, range.clone());
    let at = reader.trace.forks.iter().map(|(at, _)| *at).max().unwrap_or(range.start);
    let expected: BTreeSet<&str> =
        reader.trace.forks.iter().filter(|(place, _)| *place == at).map(|(_, other)| *other).collect();
    let shown: Vec<String> = expected.iter().take(4).map(|other| format!("{other:?}")).collect();
    let more = if expected.len() > shown.len() { ", …" } else { "" };
    let found = text[text.floor_char_boundary(at)..].chars().take(16).collect::<String>();
    GrammarError { sentence, offset: at, reason: format!("expected {}{more}, found {found:?}", shown.join(" or ")) }
}

/// The distinct words of the grammar, in order.
pub fn words() -> Vec<&'static str> {
    let parts = SentenceKind::all().flat_map(templates_for).flat_map(|line| &line.parts);
    let all: BTreeSet<&str> = parts
        .flat_map(TemplatePart::literals)
        .chain(lexicon::all_words())
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .collect();
    all.into_iter().filter(|word| !word.is_empty()).collect()
}
