//! The public face: a story, its probability, and what the text decides.

use std::{collections::BTreeSet, ops::Range};

use kiln_spec::Random;

use super::{
    act::Act,
    belief::{Belief, end, normalise},
    grammar::sentences_of,
    lexicon,
    read::Reader,
    segment::{forked, sentences, units},
    slot::Part,
    state::State,
    write::write,
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
    let (text, chosen) = write(&mut Random::new(seed, "story", 0, index));
    let log_prob = log_prob(&text).unwrap_or(chosen);
    Story { text, log_prob }
}

/// The text of the `index`-th story of `seed`, without its probability: several times faster than [`story`].
pub fn text(seed: u64, index: u64) -> String {
    write(&mut Random::new(seed, "story", 0, index)).0
}

/// A text that no run of the generator gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sentence {} (byte {at}): {reason}", sentence + 1)]
pub struct Rejected {
    /// The sentence, counted from 0; the number of sentences if the story breaks off.
    pub sentence: usize,
    /// The byte from which no continuation fits.
    pub at: usize,
    /// What was expected there and what was found.
    pub reason: String,
}

/// What makes the text decide a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The sentence itself has one way to go on.
    Local,
    /// Number or gender: verbs, pronouns.
    Agreement,
    /// A name, place, thing or number told before.
    Recall,
    /// What belongs to whom.
    Ownership,
}

impl Kind {
    /// All kinds, the easiest first.
    pub const ALL: [Kind; 4] = [Kind::Local, Kind::Agreement, Kind::Recall, Kind::Ownership];

    /// The kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Agreement => "agreement",
            Kind::Recall => "recall",
            Kind::Ownership => "ownership",
        }
    }
}

/// A word or punctuation mark that the text before it decides: the generator goes on with it with probability 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Bytes of the text, without the space before.
    pub range: Range<usize>,
    /// Why it is decided.
    pub kind: Kind,
}

/// The logarithm (nats) of the probability of `text`, end of story included, over all derivations.
///
/// # Errors
/// [`Rejected`] if the generator never gives `text`.
pub fn log_prob(text: &str) -> Result<f64, Rejected> {
    let mut sum = 0.0;
    read_all(text, false, |_, p| sum += p.ln())?;
    Ok(sum)
}

/// What the text before it decides, in order.
///
/// # Errors
/// [`Rejected`] if the generator never gives `text`.
pub fn decided(text: &str) -> Result<Vec<Decided>, Rejected> {
    let mut out = Vec::new();
    read_all(text, true, |reader, _| {
        let forks: BTreeSet<usize> =
            reader.trace.forks.iter().flat_map(|(at, other)| forked(text, *at, other)).collect();
        for (piece, kind) in &reader.trace.pieces {
            let open = units(text, piece.clone()).into_iter().filter(|unit| !forks.contains(&unit.start));
            out.extend(open.map(|range| Decided { range, kind: *kind }));
        }
    })?;
    Ok(out)
}

/// Reads a story, showing each sentence's probability given those before; the end comes last.
fn read_all(text: &str, trace: bool, mut seen: impl FnMut(&Reader, f64)) -> Result<(), Rejected> {
    let mut reader = Reader::new(text, trace);
    let mut belief = vec![(State::start(), 1.0)];
    let ranges = sentences(text);
    for (sentence, range) in ranges.iter().enumerate() {
        let may_end = end(&belief).0 > 0.0;
        let mut after = reader.sentence(&belief, range.clone());
        if after.is_empty() {
            return Err(rejected(text, &belief, sentence, range));
        }
        let p = normalise(&mut after);
        if may_end && trace {
            reader.trace.forks.push((range.start, ""));
        }
        seen(&reader, p);
        belief = after;
    }
    match end(&belief).0 {
        0.0 => Err(Rejected { sentence: ranges.len(), at: text.len(), reason: "the story breaks off here".to_owned() }),
        p => {
            reader.trace.pieces.clear();
            seen(&reader, p);
            Ok(())
        }
    }
}

/// Reads the sentence again to say where it stops fitting.
fn rejected(text: &str, belief: &Belief, sentence: usize, range: &Range<usize>) -> Rejected {
    let mut reader = Reader::new(text, true);
    reader.sentence(belief, range.clone());
    let at = reader.trace.forks.iter().map(|(at, _)| *at).max().unwrap_or(range.start);
    let expected: BTreeSet<&str> =
        reader.trace.forks.iter().filter(|(place, _)| *place == at).map(|(_, other)| *other).collect();
    let shown: Vec<String> = expected.iter().take(4).map(|other| format!("{other:?}")).collect();
    let more = if expected.len() > shown.len() { ", …" } else { "" };
    let found = text[text.floor_char_boundary(at)..].chars().take(16).collect::<String>();
    Rejected { sentence, at, reason: format!("expected {}{more}, found {found:?}", shown.join(" or ")) }
}

/// The distinct words of the grammar, in order.
pub fn words() -> Vec<&'static str> {
    let parts = Act::all().flat_map(sentences_of).flat_map(|line| &line.parts);
    let all: BTreeSet<&str> = parts
        .flat_map(Part::literals)
        .chain(lexicon::all())
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .collect();
    all.into_iter().filter(|word| !word.is_empty()).collect()
}
