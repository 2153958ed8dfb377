//! Surface forms: the text of a slot value.

use super::{
    lexicon::*,
    slot::TemplatePart,
    state::{Amount, CastMember, StoryState, WordClass},
};

/// Text of `value` in `part`: one or two phrases, to be joined by a space. The second is empty except for things, whose
/// adjective and noun come from different tables. Both are empty for silent parts.
///
/// Panics if the part refers to an unset field of the state; see [`super::unconstrained::is_ready`].
pub(crate) fn surface_form(part: &TemplatePart, state: &StoryState, value: u8) -> [&'static str; 2] {
    let i = usize::from(value);
    let phrase = match *part {
        TemplatePart::Text(text) => text,
        TemplatePart::FreeWord(words) => words[i],
        TemplatePart::Time => TIME_PHRASES[i].0,
        TemplatePart::GenderNoun => GENDER_NOUNS[i].0,
        TemplatePart::NewName(_) => NAMES[i],
        TemplatePart::PickPerson(..) => NAMES[usize::from(state.cast[i].name)],
        TemplatePart::PickRole(..) => without_article(ROLES[usize::from(state.cast[i].role)]),
        TemplatePart::Name(member) => NAMES[state.name_index(member)],
        TemplatePart::Pronoun(member, pronoun) => pronoun.forms[state.gender(member)],
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
        TemplatePart::NewWord(class) => word_form(class, i, state.n, false),
        TemplatePart::RecallWord(class, amount) => {
            word_form(class, usize::from(state.last_words[class as usize]), state.amount(amount), true)
        }
        TemplatePart::NewDays => NUMBER_WORDS[i - 1],
        TemplatePart::NextDay => ORDINALS[i],
        TemplatePart::Transfer(..) | TemplatePart::SetActorCount(_) | TemplatePart::PickIdeaOwner => "",
    };
    [phrase, ""]
}

/// Adjective and noun of the thing with an index.
fn thing_phrase(state: &StoryState, index: usize) -> [&'static str; 2] {
    let thing = state.things[index];
    [without_article(ADJECTIVES[usize::from(thing.adjective)]), THINGS[usize::from(thing.noun)]]
}

/// "She", "He" or "They" (or lower case) for the people who act.
fn subject_pronoun(state: &StoryState, plural: &'static str) -> &'static str {
    match (state.actor_count, plural) {
        (1, "They") => ["She", "He"][state.gender(CastMember::A)],
        (1, _) => ["she", "he"][state.gender(CastMember::A)],
        _ => plural,
    }
}

/// Text of the `i`-th word of a class. Animals and baked goods agree with `amount`; a pastime that is `recalled` is in
/// the past tense.
fn word_form(class: WordClass, i: usize, amount: u8, recalled: bool) -> &'static str {
    match class {
        WordClass::Home => HOMES[i],
        WordClass::Location => LOCATIONS[i],
        WordClass::Food => FOODS[i],
        WordClass::Weather => WEATHERS[i],
        WordClass::Pastime if recalled => PASTIMES[i].1,
        WordClass::Pastime => PASTIMES[i].0,
        WordClass::Animal => singular_or_plural(ANIMALS[i], amount),
        WordClass::BakedGood => singular_or_plural(BAKED_GOODS[i], amount),
    }
}

/// Form of a (singular, plural) pair that agrees with `amount`.
fn singular_or_plural((singular, plural): (&'static str, &'static str), amount: u8) -> &'static str {
    if amount == 1 { singular } else { plural }
}
