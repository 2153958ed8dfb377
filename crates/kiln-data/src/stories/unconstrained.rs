//! Sentences on their own: what an [open](State::open) state leaves unset is tried in every way.

use super::{
    choice::choices_for,
    lexicon::*,
    slot::TemplatePart,
    state::{Amount, CastMember, Item, StoryState, UNSET, WordClass},
};

#[derive(Clone, Copy)]
enum StateField {
    Name(CastMember),
    Role(CastMember),
    Adjective(Item),
    Noun(Item),
    N,
    M,
    ActorCount,
    Word(WordClass),
}

/// Every way to set what `part` reads; `state` itself where nothing is missing.
pub(crate) fn expand_unset(part: &TemplatePart, state: &StoryState, out: &mut Vec<StoryState>) {
    match first_unset(part, state) {
        None => out.push(*state),
        Some(need) => {
            for value in candidate_values(need, state) {
                let mut set = *state;
                *field_mut(need, &mut set) = value;
                expand_unset(part, &set, out);
            }
        }
    }
}

fn first_unset(part: &TemplatePart, state: &StoryState) -> Option<StateField> {
    let needs = match *part {
        TemplatePart::Name(who) | TemplatePart::PickPerson(who, _) | TemplatePart::Pronoun(who, _) => {
            [Some(StateField::Name(who)), None]
        }
        TemplatePart::PickRole(who, _) => [Some(StateField::Role(who)), None],
        TemplatePart::SubjectPronoun(_) if state.actor_count == 1 => [Some(StateField::Name(CastMember::A)), None],
        TemplatePart::SubjectPronoun(_) => [Some(StateField::ActorCount), None],
        TemplatePart::Thing(item) | TemplatePart::PickThing(item, _) => {
            [Some(StateField::Adjective(item)), Some(StateField::Noun(item))]
        }
        TemplatePart::Noun(item) => [Some(StateField::Noun(item)), None],
        TemplatePart::NewAmount(Amount::M, _) | TemplatePart::NewWord(WordClass::Animal | WordClass::BakedGood) => {
            [Some(StateField::N), None]
        }
        TemplatePart::Rest => amount_fields(Amount::Difference),
        TemplatePart::Plural(kind, _) => amount_fields(kind),
        TemplatePart::RecallWord(memory @ (WordClass::Animal | WordClass::BakedGood), kind)
            if is_unset(StateField::Word(memory), state) =>
        {
            [Some(StateField::Word(memory)), amount_fields(kind)[0]]
        }
        TemplatePart::RecallWord(WordClass::Animal | WordClass::BakedGood, kind) => amount_fields(kind),
        TemplatePart::RecallWord(memory, _) => [Some(StateField::Word(memory)), None],
        _ => [None, None],
    };
    needs.into_iter().flatten().find(|&need| is_unset(need, state))
}

fn amount_fields(kind: Amount) -> [Option<StateField>; 2] {
    match kind {
        Amount::N => [Some(StateField::N), None],
        Amount::M => [Some(StateField::M), None],
        Amount::Difference => [Some(StateField::N), Some(StateField::M)],
        Amount::ActorCount => [Some(StateField::ActorCount), None],
    }
}

/// Whether all that `part` reads is set: always so where the plot leads, not after sentences that broke it.
pub(crate) fn is_ready(part: &TemplatePart, state: &StoryState) -> bool {
    let has = |who: CastMember| state.person_index(who) < state.cast.len();
    let holds = |item: Item| state.items[item as usize] != UNSET;
    let set = match *part {
        TemplatePart::PickPerson(..) | TemplatePart::PickRole(..) | TemplatePart::PickThing(..) => return true,
        TemplatePart::NewRole(who) => has(who),
        TemplatePart::NewAdjective(_, owner) => owner.is_none_or(has),
        TemplatePart::NewAmount(Amount::M, _) => state.n != UNSET,
        TemplatePart::Transfer(item, who) => holds(item) && has(who),
        TemplatePart::PickIdeaOwner => has(CastMember::A) && has(CastMember::B),
        TemplatePart::Rest => (1..=6).contains(&state.amount(Amount::Difference)),
        _ => true,
    };
    set && first_unset(part, state).is_none()
}

fn is_unset(need: StateField, state: &StoryState) -> bool {
    let person = |who: CastMember| state.cast.get(state.person_index(who));
    let thing = |item: Item| state.things.get(usize::from(state.items[item as usize]));
    let value = match need {
        StateField::Name(who) => person(who).map(|person| person.name),
        StateField::Role(who) => person(who).map(|person| person.role),
        StateField::Adjective(item) => thing(item).map(|thing| thing.adjective),
        StateField::Noun(item) => thing(item).map(|thing| thing.noun),
        StateField::N => Some(state.n),
        StateField::M => Some(state.m),
        StateField::ActorCount => Some(state.actor_count),
        StateField::Word(memory) => Some(state.last_words[memory as usize]),
    };
    value.is_none_or(|value| value == UNSET)
}

fn field_mut(need: StateField, state: &mut StoryState) -> &mut u8 {
    match need {
        StateField::Name(who) => &mut state.cast[state.person_index(who)].name,
        StateField::Role(who) => &mut state.cast[state.person_index(who)].role,
        StateField::Adjective(item) => &mut state.things[usize::from(state.items[item as usize])].adjective,
        StateField::Noun(item) => &mut state.things[usize::from(state.items[item as usize])].noun,
        StateField::N => &mut state.n,
        StateField::M => &mut state.m,
        StateField::ActorCount => &mut state.actor_count,
        StateField::Word(memory) => &mut state.last_words[memory as usize],
    }
}

fn candidate_values(need: StateField, state: &StoryState) -> Vec<u8> {
    let below = |n: usize| (0..n as u8).collect();
    match need {
        StateField::Name(_) => (0..NAMES.len() as u8).filter(|&name| !state.has_name(usize::from(name))).collect(),
        StateField::Role(_) => below(ROLES.len()),
        StateField::Adjective(_) => below(ADJECTIVES.len()),
        StateField::Noun(_) => below(THINGS.len()),
        StateField::N => vec![1, 2, 3, 4, 5, 6],
        StateField::M => (1..state.n).collect(),
        StateField::ActorCount => vec![1, 2],
        StateField::Word(memory) => {
            choices_for(&TemplatePart::NewWord(memory), state).as_slice().iter().map(|(value, _)| *value).collect()
        }
    }
}
