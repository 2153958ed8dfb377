//! How a slot reads.

use super::{
    lexicon::*,
    slot::TemplatePart,
    state::{Amount, CastMember, StoryState, WordClass},
};

/// How `value` reads: two pieces, with a space between them if neither is empty.
pub(crate) fn surface_form(part: &TemplatePart, state: &StoryState, value: u8) -> [&'static str; 2] {
    let i = usize::from(value);
    let one = match *part {
        TemplatePart::Text(text) => text,
        TemplatePart::FreeWord(list) => list[i],
        TemplatePart::Time => TIME_PHRASES[i].0,
        TemplatePart::GenderNoun => GENDER_NOUNS[i].0,
        TemplatePart::NewName(_) => NAMES[i],
        TemplatePart::PickPerson(..) => NAMES[usize::from(state.cast[i].name)],
        TemplatePart::PickRole(..) => without_article(ROLES[usize::from(state.cast[i].role)]),
        TemplatePart::Name(who) => NAMES[state.name_index(who)],
        TemplatePart::Pronoun(who, pronoun) => pronoun.forms[state.gender(who)],
        TemplatePart::SubjectPronoun(plural) => subject_pronoun(state, plural),
        TemplatePart::NewRole(_) => ROLES[i],
        TemplatePart::NewAdjective(..) => ADJECTIVES[i],
        TemplatePart::NewNoun(_) => THINGS[i],
        TemplatePart::PickThing(..) => return thing_phrase(state, i),
        TemplatePart::Thing(item) => return thing_phrase(state, usize::from(state.items[item as usize])),
        TemplatePart::Noun(item) => THINGS[usize::from(state.thing(item).noun)],
        TemplatePart::NewAmount(..) => NUMBER_WORDS[i - 1],
        TemplatePart::Rest => NUMBER_WORDS[usize::from(state.amount(Amount::Difference)) - 1],
        TemplatePart::Plural(amount, forms) => forms[usize::from(state.amount(amount) != 1)],
        TemplatePart::NewWord(memory) => word_form(memory, i, state.n, false),
        TemplatePart::RecallWord(memory, amount) => {
            word_form(memory, usize::from(state.last_words[memory as usize]), state.amount(amount), true)
        }
        TemplatePart::NewDays => NUMBER_WORDS[i - 1],
        TemplatePart::NextDay => ORDINALS[i],
        TemplatePart::Transfer(..) | TemplatePart::SetActorCount(_) | TemplatePart::PickIdeaOwner => "",
    };
    [one, ""]
}

fn thing_phrase(state: &StoryState, place: usize) -> [&'static str; 2] {
    let thing = state.things[place];
    [without_article(ADJECTIVES[usize::from(thing.adjective)]), THINGS[usize::from(thing.noun)]]
}

fn subject_pronoun(state: &StoryState, plural: &'static str) -> &'static str {
    match (state.actor_count, plural) {
        (1, "They") => ["She", "He"][state.gender(CastMember::A)],
        (1, _) => ["she", "he"][state.gender(CastMember::A)],
        _ => plural,
    }
}

fn word_form(memory: WordClass, i: usize, amount: u8, again: bool) -> &'static str {
    let number = |(one, many): (&'static str, &'static str)| if amount == 1 { one } else { many };
    match memory {
        WordClass::Home => HOMES[i],
        WordClass::Location => LOCATIONS[i],
        WordClass::Food => FOODS[i],
        WordClass::Weather => WEATHERS[i],
        WordClass::Pastime if again => PASTIMES[i].1,
        WordClass::Pastime => PASTIMES[i].0,
        WordClass::Animal => number(ANIMALS[i]),
        WordClass::BakedGood => number(BAKED_GOODS[i]),
    }
}
