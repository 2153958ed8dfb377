//! Template parts: literal text and slots.
//!
//! Slots are written in braces. A letter names a person: `h` hero, `f` friend, `a` `b` `c` `d` people in the current
//! episode, `r` the one with the idea, `o` the owner of `x`. `x`, `y` and `g` (the goal) name things, `n` and `m`
//! numbers, `s` the number of people who act.
//!
//! | written | meaning |
//! |---|---|
//! | `{a}` `{a.he}` `{a.him}` `{a.his}` | name of `a`; pronoun with the gender of `a` |
//! | `{a+}` `{a.role+}` | new person with a new name; role of `a` with its article |
//! | `{a?}` `{a?own}` `{a?!bo}` | choice of a person; of one who owns something; of one other than `b` and `o` |
//! | `{a.role?}` `{a.role?!b}` | choice of a person who is called by the role |
//! | `{x+a}` `{g+}` | new thing of `a`, or of nobody: article, adjective and noun |
//! | `{x?}` `{x?a}` | choice of a thing that has an owner; of one that `a` owns |
//! | `{x}` `{x.noun}` `{x>b}` | thing with its adjective; its noun; `b` becomes the owner (no text) |
//! | `{n+}` `{n++}` `{m+}` `{rest}` | choice of a number from 1 to 6, from 2 to 6, below `n`; the number `n - m` |
//! | `{n/was/were}` | first form if `n` is 1, else the second; also with `rest` and `s` |
//! | `{s.They}` `{s=2}` | "He", "She" or "They" for the people who act; two people act (no text) |
//! | `{p+}` `{p}` `{bake.rest}` | choice of a location, which is remembered; the remembered one; baked goods in the number `rest` |
//! | `{#class}` `{time}` `{girl}` | free word of a class; time phrase; gender noun ("girl", "man") |
//! | `{days+}` `{day+}` `{r=ab}` | length of a journey; ordinal of its next day; choice of `a` or `b` as `r` (no text) |

use super::DependencyKind;
use super::state::{Amount, CastMember, Item, WordClass};

/// Third-person singular pronoun in one case and capitalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pronoun {
    /// Female and male form.
    pub forms: [&'static str; 2],
}

/// Restriction of the people that a slot may choose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Whether the person must own a thing.
    pub must_own: bool,
    /// People who may not be chosen.
    pub excluded: [Option<CastMember>; 2],
}

/// Part of a template. `New…` and `Pick…` are choices; the other parts are determined by the state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TemplatePart {
    /// Literal text.
    Text(&'static str),
    /// `{#class}`: word of a class on which nothing depends.
    FreeWord(&'static [&'static str]),
    /// `{time}`: time phrase.
    Time,
    /// `{girl}`: "girl", "boy", "woman" or "man", which determines the gender of the following name.
    GenderNoun,
    /// `{a+}`: new person with a name that is not in use.
    NewName(CastMember),
    /// `{a?}`: a person of the cast, by name.
    PickPerson(CastMember, Filter),
    /// `{a.role?}`: a person of the cast, by role.
    PickRole(CastMember, Filter),
    /// `{a}`: name of a person.
    Name(CastMember),
    /// `{a.he}`: pronoun for a person.
    Pronoun(CastMember, Pronoun),
    /// `{s.They}`: pronoun for the people who act; holds the plural form.
    SubjectPronoun(&'static str),
    /// `{a.role+}`: role that nobody has yet, with its article.
    NewRole(CastMember),
    /// First half of `{x+a}`: new thing with an owner and an adjective with its article.
    NewAdjective(Item, Option<CastMember>),
    /// Second half of `{x+a}`: noun of the new thing.
    NewNoun(Item),
    /// `{x?a}`: a thing with an owner, as adjective and noun.
    PickThing(Item, Option<CastMember>),
    /// `{x}`: adjective and noun of a thing.
    Thing(Item),
    /// `{x.noun}`: noun of a thing.
    Noun(Item),
    /// `{x>b}`: a new owner; no text.
    Transfer(Item, CastMember),
    /// `{n+}`, `{m+}`: number word; holds the smallest number.
    NewAmount(Amount, u8),
    /// `{rest}`: number word of `n - m`.
    Rest,
    /// `{n/was/were}`: singular or plural form.
    Plural(Amount, [&'static str; 2]),
    /// `{p+}`: word of a class, which is remembered.
    NewWord(WordClass),
    /// `{p}`: remembered word of a class; animals and baked goods in the number of an amount.
    RecallWord(WordClass, Amount),
    /// `{s=2}`: number of people who act; no text.
    SetActorCount(u8),
    /// `{r=ab}`: `a` or `b` becomes `r`; no text.
    PickIdeaOwner,
    /// `{days+}`: number of days of a journey.
    NewDays,
    /// `{day+}`: ordinal of the next day.
    NextDay,
}

impl TemplatePart {
    /// Kind of dependency by which the text of this part is determined, where it is.
    pub fn kind(&self) -> DependencyKind {
        match self {
            TemplatePart::Name(CastMember::Owner) | TemplatePart::PickThing(_, Some(_)) => DependencyKind::Ownership,
            TemplatePart::Name(_)
            | TemplatePart::PickPerson(..)
            | TemplatePart::PickRole(..)
            | TemplatePart::PickThing(..)
            | TemplatePart::Thing(_)
            | TemplatePart::Noun(_) => DependencyKind::Recall,
            TemplatePart::RecallWord(..) | TemplatePart::Rest | TemplatePart::NextDay => DependencyKind::Recall,
            TemplatePart::Pronoun(..)
            | TemplatePart::SubjectPronoun(_)
            | TemplatePart::Plural(..)
            | TemplatePart::GenderNoun => DependencyKind::Agreement,
            _ => DependencyKind::Local,
        }
    }

    /// Words that are written in the part itself and not in the lexicon; empty strings for none.
    pub fn literals(&self) -> [&'static str; 2] {
        match *self {
            TemplatePart::Text(text) => [text, ""],
            TemplatePart::SubjectPronoun(plural) => [plural, ""],
            TemplatePart::Pronoun(_, pronoun) => pronoun.forms,
            TemplatePart::Plural(_, forms) => forms,
            _ => [""; 2],
        }
    }
}
