//! Sentences on their own: what an [open](State::open) state leaves unset is tried in every way.

use super::{
    choice::options,
    lexicon::*,
    slot::Part,
    state::{Amount, Item, Memory, NONE, State, Who},
};

#[derive(Clone, Copy)]
enum Need {
    Name(Who),
    Role(Who),
    Look(Item),
    Noun(Item),
    N,
    M,
    Party,
    Memory(Memory),
}

/// Every way to set what `part` reads; `state` itself where nothing is missing.
pub(crate) fn complete(part: &Part, state: &State, out: &mut Vec<State>) {
    match unmet(part, state) {
        None => out.push(*state),
        Some(need) => {
            for value in domain(need, state) {
                let mut set = *state;
                *field(need, &mut set) = value;
                complete(part, &set, out);
            }
        }
    }
}

fn unmet(part: &Part, state: &State) -> Option<Need> {
    let needs = match *part {
        Part::Name(who) | Part::Pick(who, _) | Part::Pronoun(who, _) => [Some(Need::Name(who)), None],
        Part::PickRole(who, _) => [Some(Need::Role(who)), None],
        Part::They(_) if state.party == 1 => [Some(Need::Name(Who::A)), None],
        Part::They(_) => [Some(Need::Party), None],
        Part::Thing(item) | Part::PickThing(item, _) => [Some(Need::Look(item)), Some(Need::Noun(item))],
        Part::Noun(item) => [Some(Need::Noun(item)), None],
        Part::NewAmount(Amount::M, _) | Part::New(Memory::Animal | Memory::Bake) => [Some(Need::N), None],
        Part::Rest => amount(Amount::Rest),
        Part::Plural(kind, _) => amount(kind),
        Part::Recall(memory @ (Memory::Animal | Memory::Bake), kind) if is_unset(Need::Memory(memory), state) => {
            [Some(Need::Memory(memory)), amount(kind)[0]]
        }
        Part::Recall(Memory::Animal | Memory::Bake, kind) => amount(kind),
        Part::Recall(memory, _) => [Some(Need::Memory(memory)), None],
        _ => [None, None],
    };
    needs.into_iter().flatten().find(|&need| is_unset(need, state))
}

fn amount(kind: Amount) -> [Option<Need>; 2] {
    match kind {
        Amount::N => [Some(Need::N), None],
        Amount::M => [Some(Need::M), None],
        Amount::Rest => [Some(Need::N), Some(Need::M)],
        Amount::Party => [Some(Need::Party), None],
    }
}

/// Whether all that `part` reads is set: always so where the plot leads, not after sentences that broke it.
pub(crate) fn ready(part: &Part, state: &State) -> bool {
    let has = |who: Who| state.person(who) < state.cast.len();
    let holds = |item: Item| state.item[item as usize] != NONE;
    let set = match *part {
        Part::Pick(..) | Part::PickRole(..) | Part::PickThing(..) => return true,
        Part::NewRole(who) => has(who),
        Part::NewLook(_, owner) => owner.is_none_or(has),
        Part::NewAmount(Amount::M, _) => state.n != NONE,
        Part::Give(item, who) => holds(item) && has(who),
        Part::Idea => has(Who::A) && has(Who::B),
        Part::Rest => (1..=6).contains(&state.amount(Amount::Rest)),
        _ => true,
    };
    set && unmet(part, state).is_none()
}

fn is_unset(need: Need, state: &State) -> bool {
    let person = |who: Who| state.cast.get(state.person(who));
    let thing = |item: Item| state.things.get(usize::from(state.item[item as usize]));
    let value = match need {
        Need::Name(who) => person(who).map(|person| person.name),
        Need::Role(who) => person(who).map(|person| person.role),
        Need::Look(item) => thing(item).map(|thing| thing.look),
        Need::Noun(item) => thing(item).map(|thing| thing.noun),
        Need::N => Some(state.n),
        Need::M => Some(state.m),
        Need::Party => Some(state.party),
        Need::Memory(memory) => Some(state.memory[memory as usize]),
    };
    value.is_none_or(|value| value == NONE)
}

fn field(need: Need, state: &mut State) -> &mut u8 {
    match need {
        Need::Name(who) => &mut state.cast[state.person(who)].name,
        Need::Role(who) => &mut state.cast[state.person(who)].role,
        Need::Look(item) => &mut state.things[usize::from(state.item[item as usize])].look,
        Need::Noun(item) => &mut state.things[usize::from(state.item[item as usize])].noun,
        Need::N => &mut state.n,
        Need::M => &mut state.m,
        Need::Party => &mut state.party,
        Need::Memory(memory) => &mut state.memory[memory as usize],
    }
}

fn domain(need: Need, state: &State) -> Vec<u8> {
    let below = |n: usize| (0..n as u8).collect();
    match need {
        Need::Name(_) => (0..NAMES.len() as u8).filter(|&name| !state.knows(usize::from(name))).collect(),
        Need::Role(_) => below(ROLES.len()),
        Need::Look(_) => below(LOOKS.len()),
        Need::Noun(_) => below(THINGS.len()),
        Need::N => vec![1, 2, 3, 4, 5, 6],
        Need::M => (1..state.n).collect(),
        Need::Party => vec![1, 2],
        Need::Memory(memory) => options(&Part::New(memory), state).as_slice().iter().map(|(value, _)| *value).collect(),
    }
}
