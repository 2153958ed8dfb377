//! Judging text that a model wrote.

use std::ops::Range;

use super::{
    belief::{Belief, end_probability, normalize},
    parse::SentenceParser,
    plot::record_sentence,
    segment::split_sentences,
    state::{StoryState, UNSET},
};

/// How a text stands with the grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrammarEvaluation {
    /// Every sentence that was judged, in order.
    pub sentences: Vec<SentenceEvaluation>,
    /// Whether every sentence is consistent and the story ends where one may end.
    pub complete: bool,
}

/// How a sentence stands with the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceEvaluation {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Whether some story could hold it.
    pub well_formed: bool,
    /// Whether the story so far allows it where it stands; only well-formed ones are.
    pub consistent: bool,
}

impl GrammarEvaluation {
    /// Number of well-formed sentences.
    pub fn num_well_formed(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.well_formed).count()
    }

    /// Number of consistent sentences.
    pub fn num_consistent(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.consistent).count()
    }
}

/// Judges a text sampled from a model; with `finished` false its last sentence is taken to be cut off and left out.
///
/// A well-formed sentence that does not fit is taken over as far as it goes (its names, things and numbers), so that
/// one slip costs one sentence; after a sentence that is not well formed, any kind of sentence may follow.
///
/// ```
/// use kiln_data::stories::{judge, story};
/// let judgement = judge(&story(0, 1).text, true);
/// assert!(judgement.complete && judgement.sentences.len() == judgement.consistent());
/// let slip = &judge("Tom were a duck. Soon it", false).sentences[0];
/// assert!(slip.range == (0..16) && !slip.well_formed);
/// ```
pub fn evaluate_text(text: &str, finished: bool) -> GrammarEvaluation {
    let mut ranges = split_sentences(text);
    if !finished {
        ranges.pop();
    }
    let mut judge = Evaluator {
        reader: SentenceParser::new(text, false),
        belief: vec![(StoryState::initial(), 1.0)],
        is_lost: false,
    };
    let sentences: Vec<SentenceEvaluation> = ranges.into_iter().map(|range| judge.evaluate_sentence(range)).collect();
    let consistent = sentences.iter().all(|sentence| sentence.consistent);
    GrammarEvaluation { sentences, complete: finished && consistent && end_probability(&judge.belief).0 > 0.0 }
}

struct Evaluator<'t> {
    reader: SentenceParser<'t>,
    belief: Belief,
    /// Whether the last sentence could not be read.
    is_lost: bool,
}

impl Evaluator<'_> {
    fn evaluate_sentence(&mut self, range: Range<usize>) -> SentenceEvaluation {
        let mut read = if self.is_lost {
            self.reader.parse_any_kind(&self.belief, range.clone())
        } else {
            self.reader.parse_sentence(&self.belief, range.clone())
        };
        if !read.is_empty() {
            normalize(&mut read);
            (self.belief, self.is_lost) = (read, false);
            return SentenceEvaluation { range, well_formed: true, consistent: true };
        }
        self.reader.lenient = true;
        let alone = self.reader.parse_isolated(&self.belief, range.clone());
        self.is_lost = alone.is_none();
        if let Some(said) = alone {
            let mut state = most_likely_state(&self.belief);
            merge_isolated(&mut state, &said);
            self.belief = vec![(state, 1.0)];
        }
        SentenceEvaluation { range, well_formed: !self.is_lost, consistent: false }
    }
}

fn most_likely_state(belief: &Belief) -> StoryState {
    belief.iter().max_by(|(_, p), (_, q)| p.total_cmp(q)).map_or_else(StoryState::initial, |(state, _)| *state)
}

/// Sets what a sentence read on its own has said.
fn merge_isolated(state: &mut StoryState, said: &StoryState) {
    let places: [u8; 8] = std::array::from_fn(|part| merge_person(state, said, part));
    for (who, place) in state.characters.iter_mut().zip(places).filter(|(_, place)| *place != UNSET) {
        *who = place;
    }
    for item in 0..state.items.len() {
        merge_thing(state, said, item, &places);
    }
    for (known, word) in state.last_words.iter_mut().zip(said.last_words).filter(|(_, word)| *word != UNSET) {
        *known = word;
    }
    let pairs = [(&mut state.n, said.n), (&mut state.m, said.m), (&mut state.actor_count, said.actor_count)];
    for (known, number) in pairs.into_iter().filter(|(_, number)| *number != UNSET) {
        *known = number;
    }
    state.num_days = state.num_days.max(said.num_days);
    state.day = if said.day > 0 { said.day } else { state.day };
    record_sentence(state, said.last_kind);
}

/// The place in the cast of whoever plays `part` in the sentence, new if need be.
fn merge_person(state: &mut StoryState, said: &StoryState, part: usize) -> u8 {
    let found = said.cast[part];
    let known = state.cast.iter().position(|person| person.name != UNSET && person.name == found.name);
    let place = known.unwrap_or(usize::from(state.num_people));
    if found.name == UNSET || place >= state.cast.len() {
        return UNSET;
    }
    state.cast[place].name = found.name;
    if found.role != UNSET {
        state.cast[place].role = found.role;
    }
    state.num_people = state.num_people.max(place as u8 + 1);
    place as u8
}

fn merge_thing(state: &mut StoryState, said: &StoryState, item: usize, places: &[u8; 8]) {
    let found = said.things[item];
    let known = state.things.iter().position(|thing| thing.noun != UNSET && thing.noun == found.noun);
    let place = known.unwrap_or(usize::from(state.num_things));
    if found.noun == UNSET || place >= state.things.len() || (known.is_none() && found.adjective == UNSET) {
        return;
    }
    let mut thing = state.things[place];
    thing.noun = found.noun;
    thing.adjective = if found.adjective == UNSET { thing.adjective } else { found.adjective };
    thing.owner = places.get(usize::from(found.owner)).copied().filter(|owner| *owner != UNSET).unwrap_or(thing.owner);
    state.things[place] = thing;
    state.items[item] = place as u8;
    state.num_things = state.num_things.max(place as u8 + 1);
}
