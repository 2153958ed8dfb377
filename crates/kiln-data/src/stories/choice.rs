//! What may stand in a slot, how likely each is, how it reads and what the story remembers of it.
//!
//! Writing, reading, enumerating and marking all go through these four functions, so they cannot disagree.

use super::{
    lexicon::{self, *},
    slot::{Filter, Part},
    state::{Amount, Item, Memory, NONE, State, Who, gender},
};

/// The values that a slot may take, with weights.
pub(crate) struct Choices {
    items: [(u8, f64); 48],
    len: usize,
    /// The sum of the weights.
    pub total: f64,
}

impl Choices {
    fn new() -> Self {
        Self { items: [(0, 0.0); 48], len: 0, total: 0.0 }
    }

    fn push(&mut self, value: usize, weight: f64) {
        self.items[self.len] = (value as u8, weight);
        self.len += 1;
        self.total += weight;
    }

    fn fill(&mut self, values: impl IntoIterator<Item = usize>, weight: impl Fn(usize) -> f64) {
        values.into_iter().for_each(|value| self.push(value, weight(value)));
    }

    /// Values and weights.
    pub fn as_slice(&self) -> &[(u8, f64)] {
        &self.items[..self.len]
    }
}

/// What may stand in `part`; a silent or decided part has one value.
pub(crate) fn options(part: &Part, state: &State) -> Choices {
    let mut out = Choices::new();
    match *part {
        Part::Free(list) => out.fill(0..list.len(), lexicon::weight),
        Part::Time => out.fill((0..TIMES.len()).filter(|&i| timely(state, TIMES[i].1)), lexicon::weight),
        Part::Newcomer => {
            let fits = |&i: &usize| state.gender == NONE || state.gender == NEWCOMERS[i].1;
            out.fill((0..NEWCOMERS.len()).filter(fits), |_| 1.0);
        }
        Part::Meet(_) if state.open || usize::from(state.people) < state.cast.len() => {
            let fits = |&i: &usize| !state.knows(i) && (state.gender == NONE || usize::from(state.gender) == gender(i));
            out.fill((0..NAMES.len()).filter(fits), |i| lexicon::weight(i / 2));
        }
        Part::Pick(who, filter) => pick(state, who, filter, &mut out),
        Part::PickRole(who, filter) => pick_role(state, who, filter, &mut out),
        Part::NewRole(_) => out.fill((0..ROLES.len()).filter(|&i| !has_role(state, i)), lexicon::weight),
        Part::NewLook(..) if state.open || usize::from(state.owned) < state.things.len() => {
            out.fill(0..LOOKS.len(), lexicon::weight);
        }
        Part::NewNoun(_) => out.fill((0..THINGS.len()).filter(|&i| !has_noun(state, i)), lexicon::weight),
        Part::PickThing(item, owner) => pick_thing(state, item, owner, &mut out),
        Part::NewAmount(Amount::M, _) => out.fill(1..usize::from(state.n), |_| 1.0),
        Part::NewAmount(_, least) => out.fill(usize::from(least)..7, |i| 1.0 / (i as f64 + 1.0)),
        Part::New(memory) => out.fill(0..size(memory), lexicon::weight),
        Part::Idea if !state.open => out.fill([Who::A, Who::B].map(|who| state.person(who)), |_| 1.0),
        Part::Days => out.fill(3..7, |_| 1.0),
        Part::Day if state.open => out.fill(0..ORDINALS.len(), |_| 1.0),
        Part::Day => out.fill([usize::from(state.day)].into_iter().filter(|&day| day < ORDINALS.len()), |_| 1.0),
        Part::Meet(_) | Part::NewLook(..) => {}
        _ => out.push(0, 1.0),
    }
    out
}

/// What the story remembers once `value` stands in `part`.
pub(crate) fn bind(part: &Part, state: &mut State, value: u8) {
    match *part {
        Part::Time if TIMES[usize::from(value)].1 > 0 => state.hour = TIMES[usize::from(value)].1 % 5,
        Part::Newcomer => state.gender = NEWCOMERS[usize::from(value)].1,
        Part::Meet(who) => {
            let place = if state.open { state.who[who as usize] } else { state.people };
            state.cast[usize::from(place)].name = value;
            state.who[who as usize] = place;
            state.people = state.people.max(place + 1);
            state.gender = gender(usize::from(value)) as u8;
        }
        Part::Pick(who, _) | Part::PickRole(who, _) if !state.open => state.who[who as usize] = value,
        Part::NewRole(who) => state.cast[state.person(who)].role = value,
        Part::NewLook(item, owner) => new_thing(state, item, owner, value),
        Part::NewNoun(item) => state.things[usize::from(state.item[item as usize])].noun = value,
        Part::PickThing(item, _) => state.item[item as usize] = value,
        Part::Give(item, who) => {
            state.things[usize::from(state.item[item as usize])].owner = state.person(who) as u8;
        }
        Part::NewAmount(Amount::M, _) => state.m = value,
        Part::NewAmount(..) => state.n = value,
        Part::New(memory) => state.memory[memory as usize] = value,
        Part::Party(people) => state.party = people,
        Part::Idea if !state.open => state.who[Who::R as usize] = value,
        Part::Days => state.days = value,
        Part::Day => state.day = value + 1,
        _ => {}
    }
}

fn new_thing(state: &mut State, item: Item, owner: Option<Who>, look: u8) {
    let place = if state.open { state.item[item as usize] } else { state.owned };
    let owner = owner.map_or(NONE, |who| state.person(who) as u8);
    state.things[usize::from(place)].look = look;
    state.things[usize::from(place)].owner = owner;
    state.item[item as usize] = place;
    state.owned = state.owned.max(place + 1);
}

fn timely(state: &State, hour: u8) -> bool {
    match hour {
        _ if state.open => true,
        0 => true,
        5 => state.days == 0 && state.hour > 1,
        hour => hour > state.hour,
    }
}

fn has_role(state: &State, role: usize) -> bool {
    state.cast.iter().any(|person| usize::from(person.role) == role)
}

fn has_noun(state: &State, noun: usize) -> bool {
    state.things.iter().any(|thing| usize::from(thing.noun) == noun)
}

/// The hero acts most, then the friend, then the others.
fn prominence(place: usize) -> f64 {
    [3.0, 2.0, 1.5][place.min(2)]
}

fn pick(state: &State, who: Who, filter: Filter, out: &mut Choices) {
    if state.open {
        return out.push(state.person(who), 1.0);
    }
    let allowed = |place: &usize| {
        !filter.not.iter().flatten().any(|&other| state.person(other) == *place)
            && (!filter.owns || state.belongings(*place) > 0)
    };
    out.fill((0..usize::from(state.people)).filter(allowed), prominence);
}

fn pick_role(state: &State, who: Who, filter: Filter, out: &mut Choices) {
    if state.open {
        return out.push(state.person(who), 1.0);
    }
    let allowed = |place: &usize| {
        state.cast[*place].role != NONE && !filter.not.iter().flatten().any(|&other| state.person(other) == *place)
    };
    out.fill((0..usize::from(state.people)).filter(allowed), prominence);
}

fn pick_thing(state: &State, item: Item, owner: Option<Who>, out: &mut Choices) {
    if state.open {
        return out.push(usize::from(state.item[item as usize]), 1.0);
    }
    let wanted = owner.map(|who| state.person(who) as u8);
    let allowed = |&place: &usize| {
        let owner = state.things[place].owner;
        owner != NONE && wanted.is_none_or(|wanted| wanted == owner)
    };
    out.fill((0..usize::from(state.owned)).filter(allowed), |_| 1.0);
}

fn size(memory: Memory) -> usize {
    match memory {
        Memory::Home => HOMES.len(),
        Memory::Place => PLACES.len(),
        Memory::Food => FOODS.len(),
        Memory::Weather => WEATHERS.len(),
        Memory::Pastime => PASTIMES.len(),
        Memory::Animal => ANIMALS.len(),
        Memory::Bake => BAKES.len(),
    }
}
