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

use super::Kind;
use super::state::{Amount, Item, Memory, Who};

/// How a person is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pronoun {
    /// Female, male.
    pub forms: [&'static str; 2],
}

/// Which of the cast may be picked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    pub owns: bool,
    pub not: [Option<Who>; 2],
}

/// A piece of a sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Text(&'static str),
    Free(&'static [&'static str]),
    Time,
    Newcomer,
    Meet(Who),
    Pick(Who, Filter),
    PickRole(Who, Filter),
    Name(Who),
    Pronoun(Who, Pronoun),
    They(&'static str),
    NewRole(Who),
    NewLook(Item, Option<Who>),
    NewNoun(Item),
    PickThing(Item, Option<Who>),
    Thing(Item),
    Noun(Item),
    Give(Item, Who),
    NewAmount(Amount, u8),
    Rest,
    Plural(Amount, [&'static str; 2]),
    New(Memory),
    Recall(Memory, Amount),
    Party(u8),
    Idea,
    Days,
    Day,
}

impl Part {
    /// What decides the part where it is decided.
    pub fn kind(&self) -> Kind {
        match self {
            Part::Name(Who::Owner) | Part::PickThing(_, Some(_)) => Kind::Ownership,
            Part::Name(_)
            | Part::Pick(..)
            | Part::PickRole(..)
            | Part::PickThing(..)
            | Part::Thing(_)
            | Part::Noun(_) => Kind::Recall,
            Part::Recall(..) | Part::Rest | Part::Day => Kind::Recall,
            Part::Pronoun(..) | Part::They(_) | Part::Plural(..) | Part::Newcomer => Kind::Agreement,
            _ => Kind::Local,
        }
    }

    /// The words that the part holds itself.
    pub fn literals(&self) -> [&'static str; 2] {
        match *self {
            Part::Text(text) => [text, ""],
            Part::They(plural) => [plural, ""],
            Part::Pronoun(_, pronoun) => pronoun.forms,
            Part::Plural(_, forms) => forms,
            _ => [""; 2],
        }
    }
}
