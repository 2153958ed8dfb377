//! How a slot reads.

use super::{
    lexicon::*,
    slot::Part,
    state::{Amount, Memory, State, Who},
};

/// How `value` reads: two pieces, with a space between them if neither is empty.
pub(crate) fn surface(part: &Part, state: &State, value: u8) -> [&'static str; 2] {
    let i = usize::from(value);
    let one = match *part {
        Part::Text(text) => text,
        Part::Free(list) => list[i],
        Part::Time => TIMES[i].0,
        Part::Newcomer => NEWCOMERS[i].0,
        Part::Meet(_) => NAMES[i],
        Part::Pick(..) => NAMES[usize::from(state.cast[i].name)],
        Part::PickRole(..) => bare(ROLES[usize::from(state.cast[i].role)]),
        Part::Name(who) => NAMES[state.name(who)],
        Part::Pronoun(who, pronoun) => pronoun.forms[state.gender(who)],
        Part::They(plural) => they(state, plural),
        Part::NewRole(_) => ROLES[i],
        Part::NewLook(..) => LOOKS[i],
        Part::NewNoun(_) => THINGS[i],
        Part::PickThing(..) => return described(state, i),
        Part::Thing(item) => return described(state, usize::from(state.item[item as usize])),
        Part::Noun(item) => THINGS[usize::from(state.thing(item).noun)],
        Part::NewAmount(..) => NUMBERS[i - 1],
        Part::Rest => NUMBERS[usize::from(state.amount(Amount::Rest)) - 1],
        Part::Plural(amount, forms) => forms[usize::from(state.amount(amount) != 1)],
        Part::New(memory) => form(memory, i, state.n, false),
        Part::Recall(memory, amount) => {
            form(memory, usize::from(state.memory[memory as usize]), state.amount(amount), true)
        }
        Part::Days => NUMBERS[i - 1],
        Part::Day => ORDINALS[i],
        Part::Give(..) | Part::Party(_) | Part::Idea => "",
    };
    [one, ""]
}

fn described(state: &State, place: usize) -> [&'static str; 2] {
    let thing = state.things[place];
    [bare(LOOKS[usize::from(thing.look)]), THINGS[usize::from(thing.noun)]]
}

fn they(state: &State, plural: &'static str) -> &'static str {
    match (state.party, plural) {
        (1, "They") => ["She", "He"][state.gender(Who::A)],
        (1, _) => ["she", "he"][state.gender(Who::A)],
        _ => plural,
    }
}

fn form(memory: Memory, i: usize, amount: u8, again: bool) -> &'static str {
    let number = |(one, many): (&'static str, &'static str)| if amount == 1 { one } else { many };
    match memory {
        Memory::Home => HOMES[i],
        Memory::Place => PLACES[i],
        Memory::Food => FOODS[i],
        Memory::Weather => WEATHERS[i],
        Memory::Pastime if again => PASTIMES[i].1,
        Memory::Pastime => PASTIMES[i].0,
        Memory::Animal => number(ANIMALS[i]),
        Memory::Bake => number(BAKES[i]),
    }
}
