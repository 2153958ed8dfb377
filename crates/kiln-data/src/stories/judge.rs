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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Sentences judged.
    pub sentences: usize,
    /// Sentences that some story could hold.
    pub well_formed: usize,
    /// Sentences that the story so far allows where they stand.
    pub consistent: usize,
    /// Whether every sentence is consistent and the story ends where one may end.
    pub complete: bool,
}

/// Judges a text sampled from a model; with `finished` false its last sentence is taken to be cut off and left out.
///
/// A well-formed sentence that does not fit is taken over as far as it goes (its names, things and numbers), so that
/// one slip costs one sentence; after a sentence that is not well formed, any kind of sentence may follow.
///
/// ```
/// use kiln_data::stories::{judge, story};
/// let judgement = judge(&story(0, 1).text, true);
/// assert!(judgement.complete && judgement.sentences == judgement.consistent);
/// assert_eq!(judge("Tom were a duck. Soon it", false).well_formed, 0);
/// ```
pub fn judge(text: &str, finished: bool) -> Judgement {
    let mut ranges = sentences(text);
    if !finished {
        ranges.pop();
    }
    let mut judge = Judge { reader: Reader::new(text, false), belief: vec![(State::start(), 1.0)], lost: false };
    let mut out = Judgement { sentences: ranges.len(), ..Judgement::default() };
    for range in ranges {
        let (well_formed, consistent) = judge.sentence(range);
        out.well_formed += usize::from(well_formed);
        out.consistent += usize::from(consistent);
    }
    out.complete = finished && out.consistent == out.sentences && end(&judge.belief).0 > 0.0;
    out
}

struct Judge<'t> {
    reader: Reader<'t>,
    belief: Belief,
    /// Whether the last sentence could not be read.
    lost: bool,
}

impl Judge<'_> {
    /// Whether the sentence is well formed and whether it is consistent.
    fn sentence(&mut self, range: Range<usize>) -> (bool, bool) {
        let mut read = if self.lost {
            self.reader.anything(&self.belief, range.clone())
        } else {
            self.reader.sentence(&self.belief, range.clone())
        };
        if !read.is_empty() {
            normalise(&mut read);
            (self.belief, self.lost) = (read, false);
            return (true, true);
        }
        self.reader.broken = true;
        let alone = self.reader.alone(&self.belief, range);
        self.lost = alone.is_none();
        if let Some(said) = alone {
            let mut state = likeliest(&self.belief);
            take_over(&mut state, &said);
            self.belief = vec![(state, 1.0)];
        }
        (!self.lost, false)
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
