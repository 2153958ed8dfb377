//! Choices: the options of each slot with their weights, and the effect of a choice on the state.
//!
//! The writer, the parser and the tests use the same two functions, [`choices_for`] and [`apply_choice`], together with
//! [`surface_form`](super::surface::surface_form), so that they agree by construction.
//!
//! | slot | weight of an option |
//! |---|---|
//! | `i`-th word of a class | 1/(i + 8) |
//! | name | 1/(i + 8) for the `i`-th pair of a female and a male name |
//! | person of the cast | 3 for the hero, 2 for the friend, 1.5 for others |
//! | number `n` | 1/(n + 1) |
//! | number below `n`, day count, thing, gender noun | equal weights |

use super::{
    lexicon::{self, *},
    slot::{Filter, TemplatePart},
    state::{Amount, CastMember, Item, StoryState, UNSET, WordClass, gender},
};

/// Options of a slot with weights, in a fixed-size array to avoid allocations.
pub(crate) struct Choices {
    items: [(u8, f64); 48],
    len: usize,
    /// Sum of the weights.
    pub total_weight: f64,
}

impl Choices {
    /// No options.
    fn new() -> Self {
        Self { items: [(0, 0.0); 48], len: 0, total_weight: 0.0 }
    }

    /// Adds an option.
    fn push(&mut self, value: usize, weight: f64) {
        self.items[self.len] = (value as u8, weight);
        self.len += 1;
        self.total_weight += weight;
    }

    /// Adds options with a weight function.
    fn extend(&mut self, values: impl IntoIterator<Item = usize>, weight: impl Fn(usize) -> f64) {
        values.into_iter().for_each(|value| self.push(value, weight(value)));
    }

    /// Returns the options as (value, weight). The meaning of a value depends on the slot: mostly an index into a list.
    pub fn as_slice(&self) -> &[(u8, f64)] {
        &self.items[..self.len]
    }
}

/// Weight of options that are equally likely.
fn uniform(_: usize) -> f64 {
    1.0
}

/// Options of `part` in `state`. Literal text, silent parts and parts that the state determines have the single option
/// 0. No options mean that the story cannot contain the part here.
pub(crate) fn choices_for(part: &TemplatePart, state: &StoryState) -> Choices {
    let mut out = Choices::new();
    match *part {
        TemplatePart::FreeWord(words) => out.extend(0..words.len(), lexicon::word_weight),
        TemplatePart::Time => out.extend(
            (0..TIME_PHRASES.len()).filter(|&i| is_time_allowed(state, TIME_PHRASES[i].1)),
            lexicon::word_weight,
        ),
        TemplatePart::GenderNoun => {
            let is_allowed = |&i: &usize| state.gender == UNSET || state.gender == GENDER_NOUNS[i].1;
            out.extend((0..GENDER_NOUNS.len()).filter(is_allowed), uniform);
        }
        TemplatePart::NewName(_) if state.is_unconstrained || usize::from(state.num_people) < state.cast.len() => {
            let is_allowed =
                |&i: &usize| !state.has_name(i) && (state.gender == UNSET || usize::from(state.gender) == gender(i));
            // Names alternate between female and male, so that both genders are equally likely.
            out.extend((0..NAMES.len()).filter(is_allowed), |i| lexicon::word_weight(i / 2));
        }
        TemplatePart::PickPerson(member, filter) => pick_person(state, member, filter, &mut out),
        TemplatePart::PickRole(member, filter) => pick_role(state, member, filter, &mut out),
        TemplatePart::NewRole(_) => out.extend((0..ROLES.len()).filter(|&i| !has_role(state, i)), lexicon::word_weight),
        TemplatePart::NewAdjective(..)
            if state.is_unconstrained || usize::from(state.num_things) < state.things.len() =>
        {
            out.extend(0..ADJECTIVES.len(), lexicon::word_weight);
        }
        TemplatePart::NewNoun(_) => {
            out.extend((0..THINGS.len()).filter(|&i| !has_noun(state, i)), lexicon::word_weight)
        }
        TemplatePart::PickThing(item, owner) => pick_thing(state, item, owner, &mut out),
        TemplatePart::NewAmount(Amount::M, _) => out.extend(1..usize::from(state.n), uniform),
        TemplatePart::NewAmount(_, min) => out.extend(usize::from(min)..7, |i| 1.0 / (i as f64 + 1.0)),
        TemplatePart::NewWord(class) => out.extend(0..class_len(class), lexicon::word_weight),
        TemplatePart::PickIdeaOwner if !state.is_unconstrained => {
            out.extend([CastMember::A, CastMember::B].map(|member| state.person_index(member)), uniform)
        }
        TemplatePart::NewDays => out.extend(3..7, uniform),
        TemplatePart::NextDay if state.is_unconstrained => out.extend(0..ORDINALS.len(), uniform),
        TemplatePart::NextDay => {
            out.extend([usize::from(state.day)].into_iter().filter(|&day| day < ORDINALS.len()), uniform)
        }
        TemplatePart::NewName(_) | TemplatePart::NewAdjective(..) => {}
        _ => out.push(0, 1.0),
    }
    out
}

/// Updates `state` after `value` was chosen for `part`.
pub(crate) fn apply_choice(part: &TemplatePart, state: &mut StoryState, value: u8) {
    match *part {
        TemplatePart::Time if TIME_PHRASES[usize::from(value)].1 > 0 => {
            state.hour = TIME_PHRASES[usize::from(value)].1 % 5
        }
        TemplatePart::GenderNoun => state.gender = GENDER_NOUNS[usize::from(value)].1,
        TemplatePart::NewName(member) => {
            let index = if state.is_unconstrained { state.characters[member as usize] } else { state.num_people };
            state.cast[usize::from(index)].name = value;
            state.characters[member as usize] = index;
            state.num_people = state.num_people.max(index + 1);
            state.gender = gender(usize::from(value)) as u8;
        }
        TemplatePart::PickPerson(member, _) | TemplatePart::PickRole(member, _) if !state.is_unconstrained => {
            state.characters[member as usize] = value
        }
        TemplatePart::NewRole(member) => state.cast[state.person_index(member)].role = value,
        TemplatePart::NewAdjective(item, owner) => add_thing(state, item, owner, value),
        TemplatePart::NewNoun(item) => state.things[usize::from(state.items[item as usize])].noun = value,
        TemplatePart::PickThing(item, _) => state.items[item as usize] = value,
        TemplatePart::Transfer(item, member) => {
            state.things[usize::from(state.items[item as usize])].owner = state.person_index(member) as u8;
        }
        TemplatePart::NewAmount(Amount::M, _) => state.m = value,
        TemplatePart::NewAmount(..) => state.n = value,
        TemplatePart::NewWord(class) => state.last_words[class as usize] = value,
        TemplatePart::SetActorCount(count) => state.actor_count = count,
        TemplatePart::PickIdeaOwner if !state.is_unconstrained => {
            state.characters[CastMember::IdeaOwner as usize] = value
        }
        TemplatePart::NewDays => state.num_days = value,
        TemplatePart::NextDay => state.day = value + 1,
        _ => {}
    }
}

/// Adds a thing with an adjective; its noun is set by the following [`TemplatePart::NewNoun`].
fn add_thing(state: &mut StoryState, item: Item, owner: Option<CastMember>, adjective: u8) {
    let index = if state.is_unconstrained { state.items[item as usize] } else { state.num_things };
    let owner = owner.map_or(UNSET, |member| state.person_index(member) as u8);
    state.things[usize::from(index)].adjective = adjective;
    state.things[usize::from(index)].owner = owner;
    state.items[item as usize] = index;
    state.num_things = state.num_things.max(index + 1);
}

/// Whether a time phrase may come next. Times of day only advance; a new morning (`hour` 5) is possible after noon,
/// except on a journey, where days are counted.
fn is_time_allowed(state: &StoryState, hour: u8) -> bool {
    match hour {
        _ if state.is_unconstrained => true,
        0 => true,
        5 => state.num_days == 0 && state.hour > 1,
        hour => hour > state.hour,
    }
}

/// Whether somebody of the cast has the role already.
fn has_role(state: &StoryState, role: usize) -> bool {
    state.cast.iter().any(|person| usize::from(person.role) == role)
}

/// Whether the story has a thing with the noun already.
fn has_noun(state: &StoryState, noun: usize) -> bool {
    state.things.iter().any(|thing| usize::from(thing.noun) == noun)
}

/// Weight of the person with an index in the cast: the hero (0) acts most, then the friend (1), then the others.
fn prominence_weight(index: usize) -> f64 {
    [3.0, 2.0, 1.5][index.min(2)]
}

/// Options for a person: the cast indices that pass the filter.
fn pick_person(state: &StoryState, member: CastMember, filter: Filter, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(state.person_index(member), 1.0);
    }
    let is_allowed =
        |index: &usize| !is_excluded(state, filter, *index) && (!filter.must_own || state.num_belongings(*index) > 0);
    out.extend((0..usize::from(state.num_people)).filter(is_allowed), prominence_weight);
}

/// Options for a person who is called by the role: those with a role that pass the filter.
fn pick_role(state: &StoryState, member: CastMember, filter: Filter, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(state.person_index(member), 1.0);
    }
    let is_allowed = |index: &usize| state.cast[*index].role != UNSET && !is_excluded(state, filter, *index);
    out.extend((0..usize::from(state.num_people)).filter(is_allowed), prominence_weight);
}

/// Whether the filter excludes the person with an index in the cast.
fn is_excluded(state: &StoryState, filter: Filter, index: usize) -> bool {
    filter.excluded.iter().flatten().any(|&other| state.person_index(other) == index)
}

/// Options for a thing: those of `owner`, or of anybody.
fn pick_thing(state: &StoryState, item: Item, owner: Option<CastMember>, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(usize::from(state.items[item as usize]), 1.0);
    }
    let required_owner = owner.map(|member| state.person_index(member) as u8);
    let is_allowed = |&index: &usize| {
        let owner = state.things[index].owner;
        owner != UNSET && required_owner.is_none_or(|required| required == owner)
    };
    out.extend((0..usize::from(state.num_things)).filter(is_allowed), uniform);
}

/// Number of words of a class.
fn class_len(class: WordClass) -> usize {
    match class {
        WordClass::Home => HOMES.len(),
        WordClass::Location => LOCATIONS.len(),
        WordClass::Food => FOODS.len(),
        WordClass::Weather => WEATHERS.len(),
        WordClass::Pastime => PASTIMES.len(),
        WordClass::Animal => ANIMALS.len(),
        WordClass::BakedGood => BAKED_GOODS.len(),
    }
}
