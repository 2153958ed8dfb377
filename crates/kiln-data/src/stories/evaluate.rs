//! Grammar evaluation of sampled text: which sentences are well-formed, and which are consistent with the story so far.

use std::ops::Range;

use super::{
    belief::{Belief, end_probability, normalize},
    parse::SentenceParser,
    plot::record_sentence,
    segment::split_sentences,
    state::{StoryState, UNSET},
};

/// Result of [`evaluate_text`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrammarEvaluation {
    /// Results for each sentence, in order.
    pub sentences: Vec<SentenceEvaluation>,
    /// Whether every sentence is consistent and the story may end after the last one.
    pub complete: bool,
}

/// Evaluation of one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceEvaluation {
    /// Byte range of the sentence in the text.
    pub range: Range<usize>,
    /// Whether some state of some story allows the sentence.
    pub well_formed: bool,
    /// Whether the story so far allows the sentence as the next one. Implies `well_formed`.
    pub consistent: bool,
}

impl GrammarEvaluation {
    /// Returns the number of well-formed sentences.
    pub fn num_well_formed(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.well_formed).count()
    }

    /// Returns the number of consistent sentences.
    pub fn num_consistent(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.consistent).count()
    }
}

/// Evaluates the sentences of a text that a model generated.
///
/// A sentence is checked in three steps:
///
/// 1. It is *consistent* if the belief over states allows it: the right kind of sentence, known people, the owners and
///    adjectives of things, matching pronouns and numbers, the order of times of day.
/// 2. Otherwise it is *well-formed* if it matches a template with any people, things and numbers ("Ben had a blue drum."
///    in a story without Ben). Its content is then merged into the most likely state, so that one error does not make
///    the following sentences inconsistent.
/// 3. Otherwise it is malformed, such as "The ducks was hungry." After it, any kind of sentence may follow.
///
/// With `finished` false the text was cut off by a length limit: the last sentence is not evaluated, and the result is
/// never complete.
///
/// ```
/// use kiln_data::stories::{evaluate_text, story};
/// let evaluation = evaluate_text(&story(0, 1).text, true);
/// assert!(evaluation.complete && evaluation.sentences.len() == evaluation.num_consistent());
/// let sentence = &evaluate_text("Tom were a duck. Soon it", false).sentences[0];
/// assert!(sentence.range == (0..16) && !sentence.well_formed);
/// ```
pub fn evaluate_text(text: &str, finished: bool) -> GrammarEvaluation {
    let mut ranges = split_sentences(text);
    if !finished {
        ranges.pop();
    }
    let mut evaluator = Evaluator {
        parser: SentenceParser::new(text, false),
        belief: vec![(StoryState::initial(), 1.0)],
        is_lost: false,
    };
    let sentences: Vec<SentenceEvaluation> =
        ranges.into_iter().map(|range| evaluator.evaluate_sentence(range)).collect();
    let consistent = sentences.iter().all(|sentence| sentence.consistent);
    GrammarEvaluation { sentences, complete: finished && consistent && end_probability(&evaluator.belief).0 > 0.0 }
}

/// State of an evaluation between sentences.
struct Evaluator<'t> {
    parser: SentenceParser<'t>,
    belief: Belief,
    /// Whether the last sentence was malformed, so that the kind of the next sentence is unknown.
    is_lost: bool,
}

impl Evaluator<'_> {
    /// Evaluates the next sentence and updates the belief.
    fn evaluate_sentence(&mut self, range: Range<usize>) -> SentenceEvaluation {
        let mut after = if self.is_lost {
            self.parser.parse_any_kind(&self.belief, range.clone())
        } else {
            self.parser.parse_sentence(&self.belief, range.clone())
        };
        if !after.is_empty() {
            normalize(&mut after);
            self.belief = after;
            self.is_lost = false;
            return SentenceEvaluation { range, well_formed: true, consistent: true };
        }
        self.parser.lenient = true;
        let isolated = self.parser.parse_isolated(&self.belief, range.clone());
        self.is_lost = isolated.is_none();
        if let Some(isolated) = isolated {
            let mut state = most_likely_state(&self.belief);
            merge_isolated(&mut state, &isolated);
            self.belief = vec![(state, 1.0)];
        }
        SentenceEvaluation { range, well_formed: !self.is_lost, consistent: false }
    }
}

/// State with the largest probability.
fn most_likely_state(belief: &Belief) -> StoryState {
    belief.iter().max_by(|(_, p), (_, q)| p.total_cmp(q)).map_or_else(StoryState::initial, |(state, _)| *state)
}

/// Merges what a sentence stated on its own (`isolated`) into the state of the story: people by name, things by noun,
/// words and numbers.
fn merge_isolated(state: &mut StoryState, isolated: &StoryState) {
    let cast_indices: [u8; 8] = std::array::from_fn(|member| merge_person(state, isolated, member));
    for (character, index) in state.characters.iter_mut().zip(cast_indices).filter(|(_, index)| *index != UNSET) {
        *character = index;
    }
    for item in 0..state.items.len() {
        merge_thing(state, isolated, item, &cast_indices);
    }
    for (known, word) in state.last_words.iter_mut().zip(isolated.last_words).filter(|(_, word)| *word != UNSET) {
        *known = word;
    }
    let numbers =
        [(&mut state.n, isolated.n), (&mut state.m, isolated.m), (&mut state.actor_count, isolated.actor_count)];
    for (known, number) in numbers.into_iter().filter(|(_, number)| *number != UNSET) {
        *known = number;
    }
    state.num_days = state.num_days.max(isolated.num_days);
    state.day = if isolated.day > 0 { isolated.day } else { state.day };
    record_sentence(state, isolated.last_kind);
}

/// Cast index of the person who plays `member` in the isolated sentence. Adds an unknown name to the cast; [`UNSET`] if
/// the sentence does not mention `member` or the cast is full.
fn merge_person(state: &mut StoryState, isolated: &StoryState, member: usize) -> u8 {
    let person = isolated.cast[member];
    let known = state.cast.iter().position(|known| known.name != UNSET && known.name == person.name);
    let index = known.unwrap_or(usize::from(state.num_people));
    if person.name == UNSET || index >= state.cast.len() {
        return UNSET;
    }
    state.cast[index].name = person.name;
    if person.role != UNSET {
        state.cast[index].role = person.role;
    }
    state.num_people = state.num_people.max(index as u8 + 1);
    index as u8
}

/// Merges the thing `item` of the isolated sentence: updates the thing with the same noun, or adds it. A new thing
/// without an adjective is ignored, because later sentences could not name it.
fn merge_thing(state: &mut StoryState, isolated: &StoryState, item: usize, cast_indices: &[u8; 8]) {
    let stated = isolated.things[item];
    let known = state.things.iter().position(|thing| thing.noun != UNSET && thing.noun == stated.noun);
    let index = known.unwrap_or(usize::from(state.num_things));
    if stated.noun == UNSET || index >= state.things.len() || (known.is_none() && stated.adjective == UNSET) {
        return;
    }
    let mut thing = state.things[index];
    thing.noun = stated.noun;
    thing.adjective = if stated.adjective == UNSET { thing.adjective } else { stated.adjective };
    let owner = cast_indices.get(usize::from(stated.owner)).copied();
    thing.owner = owner.filter(|owner| *owner != UNSET).unwrap_or(thing.owner);
    state.things[index] = thing;
    state.items[item] = index as u8;
    state.num_things = state.num_things.max(index as u8 + 1);
}
