//! What stands in braces in a sentence.
//!
//! | written | stands for |
//! |---|---|
//! | `{a}` `{a.he}` `{a.him}` `{a.his}` | the name or a pronoun of whoever plays `a` (`h` hero, `f` friend, `a` `b` `c` `d`, `r`, `o` the owner of `x`) |
//! | `{a+}` `{a.role+}` | a new name, a role with its article |
//! | `{a?}` `{a?own}` `{a?!bo}` | somebody of the cast; who owns something; other than `b` and `o` |
//! | `{a.role?}` `{a.role?!b}` | the same, called by the role |
//! | `{x+a}` `{g+}` | a new thing of `a`'s, of nobody's: article, look and noun |
//! | `{x?}` `{x?a}` | a thing that somebody owns, that `a` owns |
//! | `{x}` `{x.noun}` `{x>b}` | the thing with its look, without; (silent) it passes to `b` |
//! | `{n+}` `{n++}` `{m+}` `{rest}` | a number from one, from two, below `n`, `n - m` |
//! | `{n/was/were}` | the first form if `n` (`rest`, `s`: how many act) is one |
//! | `{s.They}` `{s=2}` | He, She or They for who acts; (silent) two people act |
//! | `{place+}` `{place}` `{bake.rest}` | a word chosen and remembered; what is remembered; in the number `rest` |
//! | `{#class}` `{time}` `{girl}` `{days+}` `{day+}` `{r=ab}` | a word that nothing depends on; time; a kind of person; length; next day; (silent) `a` or `b` |

use super::DependencyKind;
use super::state::{Amount, CastMember, Item, WordClass};

/// How a person is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pronoun {
    /// Female, male.
    pub forms: [&'static str; 2],
}

/// Which of the cast may be picked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    pub must_own: bool,
    pub excluded: [Option<CastMember>; 2],
}

/// A piece of a sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TemplatePart {
    Text(&'static str),
    FreeWord(&'static [&'static str]),
    Time,
    GenderNoun,
    NewName(CastMember),
    PickPerson(CastMember, Filter),
    PickRole(CastMember, Filter),
    Name(CastMember),
    Pronoun(CastMember, Pronoun),
    SubjectPronoun(&'static str),
    NewRole(CastMember),
    NewAdjective(Item, Option<CastMember>),
    NewNoun(Item),
    PickThing(Item, Option<CastMember>),
    Thing(Item),
    Noun(Item),
    Transfer(Item, CastMember),
    NewAmount(Amount, u8),
    Rest,
    Plural(Amount, [&'static str; 2]),
    NewWord(WordClass),
    RecallWord(WordClass, Amount),
    SetActorCount(u8),
    PickIdeaOwner,
    NewDays,
    NextDay,
}

impl TemplatePart {
    /// What decides the part where it is decided.
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

    /// The words that the part holds itself.
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
