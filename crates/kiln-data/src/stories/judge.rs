//! Judging text that a model wrote.

use std::ops::Range;

use super::{
    belief::{Belief, end, normalise},
    plot::tell,
    read::Reader,
    segment::sentences,
    state::{NONE, State},
};

/// How a text stands with the grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Every sentence that was judged, in order.
    pub sentences: Vec<Sentence>,
    /// Whether every sentence is consistent and the story ends where one may end.
    pub complete: bool,
}

/// How a sentence stands with the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Whether some story could hold it.
    pub well_formed: bool,
    /// Whether the story so far allows it where it stands; only well-formed ones are.
    pub consistent: bool,
}

impl Judgement {
    /// Number of well-formed sentences.
    pub fn well_formed(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.well_formed).count()
    }

    /// Number of consistent sentences.
    pub fn consistent(&self) -> usize {
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
pub fn judge(text: &str, finished: bool) -> Judgement {
    let mut ranges = sentences(text);
    if !finished {
        ranges.pop();
    }
    let mut judge = Judge { reader: Reader::new(text, false), belief: vec![(State::start(), 1.0)], lost: false };
    let sentences: Vec<Sentence> = ranges.into_iter().map(|range| judge.sentence(range)).collect();
    let consistent = sentences.iter().all(|sentence| sentence.consistent);
    Judgement { sentences, complete: finished && consistent && end(&judge.belief).0 > 0.0 }
}

struct Judge<'t> {
    reader: Reader<'t>,
    belief: Belief,
    /// Whether the last sentence could not be read.
    lost: bool,
}

impl Judge<'_> {
    fn sentence(&mut self, range: Range<usize>) -> Sentence {
        let mut read = if self.lost {
            self.reader.anything(&self.belief, range.clone())
        } else {
            self.reader.sentence(&self.belief, range.clone())
        };
        if !read.is_empty() {
            normalise(&mut read);
            (self.belief, self.lost) = (read, false);
            return Sentence { range, well_formed: true, consistent: true };
        }
        self.reader.broken = true;
        let alone = self.reader.alone(&self.belief, range.clone());
        self.lost = alone.is_none();
        if let Some(said) = alone {
            let mut state = likeliest(&self.belief);
            take_over(&mut state, &said);
            self.belief = vec![(state, 1.0)];
        }
        Sentence { range, well_formed: !self.lost, consistent: false }
    }
}

fn likeliest(belief: &Belief) -> State {
    belief.iter().max_by(|(_, p), (_, q)| p.total_cmp(q)).map_or_else(State::start, |(state, _)| *state)
}

/// Sets what a sentence read on its own has said.
fn take_over(state: &mut State, said: &State) {
    let places: [u8; 8] = std::array::from_fn(|part| person(state, said, part));
    for (who, place) in state.who.iter_mut().zip(places).filter(|(_, place)| *place != NONE) {
        *who = place;
    }
    for item in 0..state.item.len() {
        thing(state, said, item, &places);
    }
    for (known, word) in state.memory.iter_mut().zip(said.memory).filter(|(_, word)| *word != NONE) {
        *known = word;
    }
    let pairs = [(&mut state.n, said.n), (&mut state.m, said.m), (&mut state.party, said.party)];
    for (known, number) in pairs.into_iter().filter(|(_, number)| *number != NONE) {
        *known = number;
    }
    state.days = state.days.max(said.days);
    state.day = if said.day > 0 { said.day } else { state.day };
    tell(state, said.told);
}

/// The place in the cast of whoever plays `part` in the sentence, new if need be.
fn person(state: &mut State, said: &State, part: usize) -> u8 {
    let found = said.cast[part];
    let known = state.cast.iter().position(|person| person.name != NONE && person.name == found.name);
    let place = known.unwrap_or(usize::from(state.people));
    if found.name == NONE || place >= state.cast.len() {
        return NONE;
    }
    state.cast[place].name = found.name;
    if found.role != NONE {
        state.cast[place].role = found.role;
    }
    state.people = state.people.max(place as u8 + 1);
    place as u8
}

fn thing(state: &mut State, said: &State, item: usize, places: &[u8; 8]) {
    let found = said.things[item];
    let known = state.things.iter().position(|thing| thing.noun != NONE && thing.noun == found.noun);
    let place = known.unwrap_or(usize::from(state.owned));
    if found.noun == NONE || place >= state.things.len() || (known.is_none() && found.look == NONE) {
        return;
    }
    let mut thing = state.things[place];
    thing.noun = found.noun;
    thing.look = if found.look == NONE { thing.look } else { found.look };
    thing.owner = places.get(usize::from(found.owner)).copied().filter(|owner| *owner != NONE).unwrap_or(thing.owner);
    state.things[place] = thing;
    state.item[item] = place as u8;
    state.owned = state.owned.max(place as u8 + 1);
}
