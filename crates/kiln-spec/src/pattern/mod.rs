//! Patterns: which keys a layer's geometry lets a query see, with an algebra of `and` and `or`.
//!
//! A pattern is a file here, its `mod` line and its list line below. Each says two things: its formula, from which all
//! readings follow, and what a cache must keep for it.
//!
//! Some need no pattern of their own. A dilated window is a window `and` a stride. Documents belong to the batch: what
//! a token sees is always within its own document, so that a pattern `documents` would say nothing. Patterns that
//! alternate from layer to layer are blocks that alternate.

mod blocks;
mod fixed;
mod global;
mod global_tokens;
mod joined;
mod strided;
mod window;

pub use blocks::Blocks;
pub use fixed::Fixed;
pub use global_tokens::GlobalTokens;
pub use strided::Strided;
pub use window::Window;

use crate::{
    card::Card,
    config::Nothing,
    formula::{Field::*, Formula, Term},
    keep::Keep,
    layout::Mark,
};
use joined::{every, some};
use std::fmt;

/// What a pattern says of a layer's geometry: a formula of the positions of query and key.
pub trait Geometry {
    /// Who sees whom, as a formula of two marks.
    fn formula(&self) -> Formula;

    /// What a cache keeps: what it drops, no later token can see.
    fn keep(&self) -> Keep;

    /// A few words for people: `window of 64 before, 0 after`.
    fn describe(&self) -> String;
}

crate::choice! {
    /// The geometry of a layer: who may look at whom, by distance and place. Direction, documents and padding
    /// belong to the batch and are joined to it.
    #[derive(Eq, Hash)]
    pub enum Pattern {
        /// Everybody sees everybody.
        "global" => Global(Nothing) with Card { state: "T", time: "T²", ..Card::data("1706.03762") },
        /// A token sees its neighbours (Longformer, 2004.05150; Mistral, 2310.06825).
        "window" => Window(Window) with window::CARD,
        /// A token sees those at a multiple of a distance (Sparse Transformer, 1904.10509, strided).
        "strided" => Strided(Strided) with strided::CARD,
        /// All see the last places of every stretch (Sparse Transformer, 1904.10509, fixed).
        "fixed" => Fixed(Fixed) with fixed::CARD,
        /// A token sees its block and those beside it (1911.02972; BigBird, 2007.14062).
        "blocks" => Blocks(Blocks) with blocks::CARD,
        /// The first tokens see all and are seen by all (Longformer, 2004.05150; BigBird, 2007.14062).
        "global_tokens" => GlobalTokens(GlobalTokens) with global_tokens::CARD,
        /// All of these at once.
        "and" => And(Vec<Pattern>) with joined::AND,
        /// Any of these.
        "or" => Or(Vec<Pattern>) with joined::OR,
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::Global(Nothing {})
    }
}

impl Geometry for Pattern {
    fn formula(&self) -> Formula {
        self.with(|geometry| geometry.formula())
    }

    fn keep(&self) -> Keep {
        self.with(|geometry| geometry.keep())
    }

    fn describe(&self) -> String {
        self.with(|geometry| geometry.describe())
    }
}

impl Pattern {
    /// A window of `before` and `after` tokens besides the token itself.
    pub fn window(before: u32, after: u32) -> Self {
        Self::Window(Window { before, after })
    }

    fn with<R>(&self, read: impl FnOnce(&dyn Geometry) -> R) -> R {
        match self {
            Self::Global(all) => read(all),
            Self::Window(window) => read(window),
            Self::Strided(strided) => read(strided),
            Self::Fixed(fixed) => read(fixed),
            Self::Blocks(blocks) => read(blocks),
            Self::GlobalTokens(tokens) => read(tokens),
            Self::And(all) => read(&every(all)),
            Self::Or(any) => read(&some(any)),
        }
    }

    /// The geometry alone, as a formula.
    pub fn formula(&self) -> Formula {
        Geometry::formula(self)
    }

    /// What a cache keeps for it: what that drops, no later token can see.
    pub fn keep(&self) -> Keep {
        Geometry::keep(self)
    }

    /// What a token sees in the end: `layer ∧ direction ∧ documents ∧ padding`.
    pub fn visible(&self) -> Formula {
        Formula::And(vec![live(), same_document(), direction(), self.formula()])
    }

    /// The same for keys of another stream (an encoder's output): there is no order between the two.
    pub fn visible_across(&self) -> Formula {
        Formula::And(vec![live(), same_document(), self.formula()])
    }

    /// Does the query see the key in the end?
    pub fn sees(&self, query: &Mark, key: &Mark) -> bool {
        self.visible().holds(query, key)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// A number of a configuration, as one of a formula.
fn clamp(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// By how many tokens the key stands before the query.
fn behind() -> Term {
    Term::query(Position).minus(Term::key(Position))
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
