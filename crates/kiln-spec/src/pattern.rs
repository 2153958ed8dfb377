//! Patterns: which keys a layer's geometry lets a query see, with an algebra of `and` and `or`.

use crate::{
    formula::{Field::*, Formula, Term},
    layout::Mark,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};

crate::choice! {
    /// The geometry of a layer: who may look at whom, by distance and place. Direction, documents and padding
    /// belong to the batch and are joined to it.
    pub enum Pattern {
        /// Everybody sees everybody.
        "global" => Global(crate::config::Nothing),
        /// A token sees its neighbours (Longformer, 2004.05150; Mistral, 2310.06825).
        "window" => Window(Window),
        /// All of these at once.
        "and" => And(Vec<Pattern>),
        /// Any of these.
        "or" => Or(Vec<Pattern>),
    }
}

/// Neighbours on both sides, counted without the token itself.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How many tokens before it a token sees.
    pub before: u32,
    /// How many tokens after it a token sees.
    #[serde(default)]
    pub after: u32,
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
        match self {
            Self::Global(_) => {}
            Self::Window(window) => window.hash(state),
            Self::And(all) | Self::Or(all) => all.hash(state),
        }
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::Global(crate::config::Nothing {})
    }
}

impl Pattern {
    /// A window of `before` and `after` tokens besides the token itself.
    pub fn window(before: u32, after: u32) -> Self {
        Self::Window(Window { before, after })
    }

    /// The geometry alone, as a formula.
    pub fn formula(&self) -> Formula {
        let behind = || Term::query(Position).minus(Term::key(Position));
        match self {
            Self::Global(_) => Formula::always(),
            Self::Window(w) => Formula::And(vec![
                Formula::AtMost(behind(), Term::Constant(clamp(w.before))),
                Formula::AtMost(Term::Constant(-clamp(w.after)), behind()),
            ]),
            Self::And(all) => Formula::And(all.iter().map(Self::formula).collect()),
            Self::Or(any) => Formula::Or(any.iter().map(Self::formula).collect()),
        }
    }

    /// What a token sees in the end: `layer ∧ direction ∧ documents ∧ padding`.
    pub fn visible(&self) -> Formula {
        Formula::And(vec![live(), same_document(), direction(), self.formula()])
    }

    /// The same for keys of another stream (an encoder's output): there is no order between the two.
    pub fn visible_across(&self) -> Formula {
        Formula::And(vec![live(), same_document(), self.formula()])
    }

    /// How many tokens back the geometry reaches; `None` without bound.
    pub fn reach(&self) -> Option<usize> {
        match self {
            Self::Global(_) => None,
            Self::Window(w) => Some(w.before as usize),
            Self::And(all) => all.iter().filter_map(Self::reach).min(),
            Self::Or(any) => any.iter().map(Self::reach).try_fold(0, |most, reach| Some(most.max(reach?))),
        }
    }

    /// Does the query see the key in the end?
    pub fn sees(&self, query: &Mark, key: &Mark) -> bool {
        self.visible().holds(query, key)
    }
}

fn clamp(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn live() -> Formula {
    Formula::Equal(Term::key(Live), Term::Constant(1))
}

fn same_document() -> Formula {
    Formula::Equal(Term::query(Document), Term::key(Document))
}

fn direction() -> Formula {
    Formula::Or(vec![
        Formula::AtMost(Term::key(Order), Term::query(Order)),
        Formula::Equal(Term::key(Prefix), Term::Constant(1)),
    ])
}
