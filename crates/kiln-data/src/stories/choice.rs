//! What may stand in a slot, how likely each is, how it reads and what the story remembers of it.
//!
//! Writing, reading, enumerating and marking all go through these four functions, so they cannot disagree.

use super::{
    lexicon::{self, *},
    slot::{Filter, TemplatePart},
    state::{Amount, CastMember, Item, StoryState, UNSET, WordClass, gender},
};

/// The values that a slot may take, with weights.
pub(crate) struct Choices {
    items: [(u8, f64); 48],
    len: usize,
    /// The sum of the weights.
    pub total_weight: f64,
}

impl Choices {
    fn new() -> Self {
        Self { items: [(0, 0.0); 48], len: 0, total_weight: 0.0 }
    }

    fn push(&mut self, value: usize, weight: f64) {
        self.items[self.len] = (value as u8, weight);
        self.len += 1;
        self.total_weight += weight;
    }

    fn extend(&mut self, values: impl IntoIterator<Item = usize>, weight: impl Fn(usize) -> f64) {
        values.into_iter().for_each(|value| self.push(value, weight(value)));
    }

    /// Values and weights.
    pub fn as_slice(&self) -> &[(u8, f64)] {
        &self.items[..self.len]
    }
}

/// What may stand in `part`; a silent or decided part has one value.
pub(crate) fn choices_for(part: &TemplatePart, state: &StoryState) -> Choices {
    let mut out = Choices::new();
    match *part {
        TemplatePart::FreeWord(list) => out.extend(0..list.len(), lexicon::word_weight),
        TemplatePart::Time => out.extend(
            (0..TIME_PHRASES.len()).filter(|&i| is_time_allowed(state, TIME_PHRASES[i].1)),
            lexicon::word_weight,
        ),
        TemplatePart::GenderNoun => {
            let fits = |&i: &usize| state.gender == UNSET || state.gender == GENDER_NOUNS[i].1;
            out.extend((0..GENDER_NOUNS.len()).filter(fits), |_| 1.0);
        }
        TemplatePart::NewName(_) if state.is_unconstrained || usize::from(state.num_people) < state.cast.len() => {
            let fits =
                |&i: &usize| !state.has_name(i) && (state.gender == UNSET || usize::from(state.gender) == gender(i));
            out.extend((0..NAMES.len()).filter(fits), |i| lexicon::word_weight(i / 2));
        }
        TemplatePart::PickPerson(who, filter) => pick_person(state, who, filter, &mut out),
        TemplatePart::PickRole(who, filter) => pick_role(state, who, filter, &mut out),
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
        TemplatePart::NewAmount(Amount::M, _) => out.extend(1..usize::from(state.n), |_| 1.0),
        TemplatePart::NewAmount(_, least) => out.extend(usize::from(least)..7, |i| 1.0 / (i as f64 + 1.0)),
        TemplatePart::NewWord(memory) => out.extend(0..class_len(memory), lexicon::word_weight),
        TemplatePart::PickIdeaOwner if !state.is_unconstrained => {
            out.extend([CastMember::A, CastMember::B].map(|who| state.person_index(who)), |_| 1.0)
        }
        TemplatePart::NewDays => out.extend(3..7, |_| 1.0),
        TemplatePart::NextDay if state.is_unconstrained => out.extend(0..ORDINALS.len(), |_| 1.0),
        TemplatePart::NextDay => {
            out.extend([usize::from(state.day)].into_iter().filter(|&day| day < ORDINALS.len()), |_| 1.0)
        }
        TemplatePart::NewName(_) | TemplatePart::NewAdjective(..) => {}
        _ => out.push(0, 1.0),
    }
    out
}

/// What the story remembers once `value` stands in `part`.
pub(crate) fn apply_choice(part: &TemplatePart, state: &mut StoryState, value: u8) {
    match *part {
        TemplatePart::Time if TIME_PHRASES[usize::from(value)].1 > 0 => {
            state.hour = TIME_PHRASES[usize::from(value)].1 % 5
        }
        TemplatePart::GenderNoun => state.gender = GENDER_NOUNS[usize::from(value)].1,
        TemplatePart::NewName(who) => {
            let place = if state.is_unconstrained { state.characters[who as usize] } else { state.num_people };
            state.cast[usize::from(place)].name = value;
            state.characters[who as usize] = place;
            state.num_people = state.num_people.max(place + 1);
            state.gender = gender(usize::from(value)) as u8;
        }
        TemplatePart::PickPerson(who, _) | TemplatePart::PickRole(who, _) if !state.is_unconstrained => {
            state.characters[who as usize] = value
        }
        TemplatePart::NewRole(who) => state.cast[state.person_index(who)].role = value,
        TemplatePart::NewAdjective(item, owner) => add_thing(state, item, owner, value),
        TemplatePart::NewNoun(item) => state.things[usize::from(state.items[item as usize])].noun = value,
        TemplatePart::PickThing(item, _) => state.items[item as usize] = value,
        TemplatePart::Transfer(item, who) => {
            state.things[usize::from(state.items[item as usize])].owner = state.person_index(who) as u8;
        }
        TemplatePart::NewAmount(Amount::M, _) => state.m = value,
        TemplatePart::NewAmount(..) => state.n = value,
        TemplatePart::NewWord(memory) => state.last_words[memory as usize] = value,
        TemplatePart::SetActorCount(people) => state.actor_count = people,
        TemplatePart::PickIdeaOwner if !state.is_unconstrained => {
            state.characters[CastMember::IdeaOwner as usize] = value
        }
        TemplatePart::NewDays => state.num_days = value,
        TemplatePart::NextDay => state.day = value + 1,
        _ => {}
    }
}

fn add_thing(state: &mut StoryState, item: Item, owner: Option<CastMember>, look: u8) {
    let place = if state.is_unconstrained { state.items[item as usize] } else { state.num_things };
    let owner = owner.map_or(UNSET, |who| state.person_index(who) as u8);
    state.things[usize::from(place)].adjective = look;
    state.things[usize::from(place)].owner = owner;
    state.items[item as usize] = place;
    state.num_things = state.num_things.max(place + 1);
}

fn is_time_allowed(state: &StoryState, hour: u8) -> bool {
    match hour {
        _ if state.is_unconstrained => true,
        0 => true,
        5 => state.num_days == 0 && state.hour > 1,
        hour => hour > state.hour,
    }
}

fn has_role(state: &StoryState, role: usize) -> bool {
    state.cast.iter().any(|person| usize::from(person.role) == role)
}

fn has_noun(state: &StoryState, noun: usize) -> bool {
    state.things.iter().any(|thing| usize::from(thing.noun) == noun)
}

/// The hero acts most, then the friend, then the others.
fn prominence_weight(place: usize) -> f64 {
    [3.0, 2.0, 1.5][place.min(2)]
}

fn pick_person(state: &StoryState, who: CastMember, filter: Filter, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(state.person_index(who), 1.0);
    }
    let allowed = |place: &usize| {
        !filter.excluded.iter().flatten().any(|&other| state.person_index(other) == *place)
            && (!filter.must_own || state.num_belongings(*place) > 0)
    };
    out.extend((0..usize::from(state.num_people)).filter(allowed), prominence_weight);
}

fn pick_role(state: &StoryState, who: CastMember, filter: Filter, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(state.person_index(who), 1.0);
    }
    let allowed = |place: &usize| {
        state.cast[*place].role != UNSET
            && !filter.excluded.iter().flatten().any(|&other| state.person_index(other) == *place)
    };
    out.extend((0..usize::from(state.num_people)).filter(allowed), prominence_weight);
}

fn pick_thing(state: &StoryState, item: Item, owner: Option<CastMember>, out: &mut Choices) {
    if state.is_unconstrained {
        return out.push(usize::from(state.items[item as usize]), 1.0);
    }
    let wanted = owner.map(|who| state.person_index(who) as u8);
    let allowed = |&place: &usize| {
        let owner = state.things[place].owner;
        owner != UNSET && wanted.is_none_or(|wanted| wanted == owner)
    };
    out.extend((0..usize::from(state.num_things)).filter(allowed), |_| 1.0);
}

fn class_len(memory: WordClass) -> usize {
    match memory {
        WordClass::Home => HOMES.len(),
        WordClass::Location => LOCATIONS.len(),
        WordClass::Food => FOODS.len(),
        WordClass::Weather => WEATHERS.len(),
        WordClass::Pastime => PASTIMES.len(),
        WordClass::Animal => ANIMALS.len(),
        WordClass::BakedGood => BAKED_GOODS.len(),
    }
}
