//! Isolated sentences: enumerates the values of state fields that a sentence needs and its story has not set.
//!
//! The parser uses it to decide whether a sentence is well-formed regardless of its story: starting from
//! [`StoryState::unconstrained`], each part that refers to an unset field is tried with all values of that field.

use super::{
    choice::choices_for,
    lexicon::*,
    slot::TemplatePart,
    state::{Amount, CastMember, Item, StoryState, UNSET, WordClass},
};

/// Field of the state that a part may refer to.
#[derive(Clone, Copy)]
enum StateField {
    /// Name of a person.
    Name(CastMember),
    /// Role of a person.
    Role(CastMember),
    /// Adjective of a thing.
    Adjective(Item),
    /// Noun of a thing.
    Noun(Item),
    /// Number `n`.
    N,
    /// Number `m`.
    M,
    /// Number of people who act.
    ActorCount,
    /// Remembered word of a class.
    Word(WordClass),
}

/// Appends copies of `state` in which all fields that `part` refers to are set, in all ways; `state` itself if none is
/// unset.
pub(crate) fn expand_unset(part: &TemplatePart, state: &StoryState, out: &mut Vec<StoryState>) {
    match first_unset(part, state) {
        None => out.push(*state),
        Some(field) => {
            for value in candidate_values(field, state) {
                let mut expanded = *state;
                *field_mut(field, &mut expanded) = value;
                expand_unset(part, &expanded, out);
            }
        }
    }
}

/// First unset field that `part` refers to.
fn first_unset(part: &TemplatePart, state: &StoryState) -> Option<StateField> {
    let fields = match *part {
        TemplatePart::Name(member) | TemplatePart::PickPerson(member, _) | TemplatePart::Pronoun(member, _) => {
            [Some(StateField::Name(member)), None]
        }
        TemplatePart::PickRole(member, _) => [Some(StateField::Role(member)), None],
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
        TemplatePart::Plural(amount, _) => amount_fields(amount),
        TemplatePart::RecallWord(class @ (WordClass::Animal | WordClass::BakedGood), amount)
            if is_unset(StateField::Word(class), state) =>
        {
            [Some(StateField::Word(class)), amount_fields(amount)[0]]
        }
        TemplatePart::RecallWord(WordClass::Animal | WordClass::BakedGood, amount) => amount_fields(amount),
        TemplatePart::RecallWord(class, _) => [Some(StateField::Word(class)), None],
        _ => [None, None],
    };
    fields.into_iter().flatten().find(|&field| is_unset(field, state))
}

/// Fields that an amount is computed from.
fn amount_fields(amount: Amount) -> [Option<StateField>; 2] {
    match amount {
        Amount::N => [Some(StateField::N), None],
        Amount::M => [Some(StateField::M), None],
        Amount::Difference => [Some(StateField::N), Some(StateField::M)],
        Amount::ActorCount => [Some(StateField::ActorCount), None],
    }
}

/// Whether all fields that `part` refers to are set, so that its choices and text can be computed.
///
/// Always true on the paths of the plot; after inconsistent sentences it may be false.
pub(crate) fn is_ready(part: &TemplatePart, state: &StoryState) -> bool {
    let has_person = |member: CastMember| state.person_index(member) < state.cast.len();
    let context_is_set = match *part {
        TemplatePart::PickPerson(..) | TemplatePart::PickRole(..) | TemplatePart::PickThing(..) => return true,
        TemplatePart::NewRole(member) => has_person(member),
        TemplatePart::NewAdjective(_, owner) => owner.is_none_or(has_person),
        TemplatePart::NewAmount(Amount::M, _) => state.n != UNSET,
        TemplatePart::Transfer(item, member) => state.items[item as usize] != UNSET && has_person(member),
        TemplatePart::PickIdeaOwner => has_person(CastMember::A) && has_person(CastMember::B),
        TemplatePart::Rest => (1..=6).contains(&state.amount(Amount::Difference)),
        _ => true,
    };
    context_is_set && first_unset(part, state).is_none()
}

/// Whether a field has no value: it is unset itself, or the person or thing that it belongs to is.
fn is_unset(field: StateField, state: &StoryState) -> bool {
    let person = |member: CastMember| state.cast.get(state.person_index(member));
    let thing = |item: Item| state.things.get(usize::from(state.items[item as usize]));
    let value = match field {
        StateField::Name(member) => person(member).map(|person| person.name),
        StateField::Role(member) => person(member).map(|person| person.role),
        StateField::Adjective(item) => thing(item).map(|thing| thing.adjective),
        StateField::Noun(item) => thing(item).map(|thing| thing.noun),
        StateField::N => Some(state.n),
        StateField::M => Some(state.m),
        StateField::ActorCount => Some(state.actor_count),
        StateField::Word(class) => Some(state.last_words[class as usize]),
    };
    value.is_none_or(|value| value == UNSET)
}

/// Mutable reference to a field. Panics if the person or thing that it belongs to is unset.
fn field_mut(field: StateField, state: &mut StoryState) -> &mut u8 {
    match field {
        StateField::Name(member) => &mut state.cast[state.person_index(member)].name,
        StateField::Role(member) => &mut state.cast[state.person_index(member)].role,
        StateField::Adjective(item) => &mut state.things[usize::from(state.items[item as usize])].adjective,
        StateField::Noun(item) => &mut state.things[usize::from(state.items[item as usize])].noun,
        StateField::N => &mut state.n,
        StateField::M => &mut state.m,
        StateField::ActorCount => &mut state.actor_count,
        StateField::Word(class) => &mut state.last_words[class as usize],
    }
}

/// Values that an unset field may take.
fn candidate_values(field: StateField, state: &StoryState) -> Vec<u8> {
    match field {
        StateField::Name(_) => (0..NAMES.len() as u8).filter(|&name| !state.has_name(usize::from(name))).collect(),
        StateField::Role(_) => (0..ROLES.len() as u8).collect(),
        StateField::Adjective(_) => (0..ADJECTIVES.len() as u8).collect(),
        StateField::Noun(_) => (0..THINGS.len() as u8).collect(),
        StateField::N => vec![1, 2, 3, 4, 5, 6],
        StateField::M => (1..state.n).collect(),
        StateField::ActorCount => vec![1, 2],
        StateField::Word(class) => {
            choices_for(&TemplatePart::NewWord(class), state).as_slice().iter().map(|(value, _)| *value).collect()
        }
    }
}
