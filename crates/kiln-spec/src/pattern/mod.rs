//! Patterns: which keys a layer's geometry lets a query see, with an algebra of `and` and `or`.
//!
//! A pattern is a file here, its `mod` line and its list line below. Each says two things: its formula, from which all
//! readings follow, and what a cache must keep for it.
//!
//! Some need no pattern of their own. A dilated window is a window `and` a stride. Documents belong to the batch: what
//! a token sees is always within its own document, so that a pattern `documents` would say nothing. Patterns that
//! alternate from layer to layer are blocks that alternate.

mod blocks;
mod combined;
mod fixed;
mod global;
mod global_tokens;
mod strided;
mod window;

pub use blocks::Blocks;
pub use fixed::Fixed;
pub use global_tokens::GlobalTokens;
pub use strided::Strided;
pub use window::Window;

use crate::{
    cache_policy::CachePolicy,
    card::Card,
    config::NoOptions,
    formula::{Formula, MarkField::*, Term},
    layout::TokenMark,
};
use combined::{all_of, any_of};
use std::fmt;

/// What a pattern says of a layer's geometry: a formula of the positions of query and key.
pub trait PatternRule {
    /// Who sees whom, as a formula of two marks.
    fn formula(&self) -> Formula;

    /// What a cache keeps: what it drops, no later token can see.
    fn cache_policy(&self) -> CachePolicy;

    /// A few words for people: `window of 64 before, 0 after`.
    fn describe(&self) -> String;
}

crate::choice! {
    /// Attention pattern of a layer, by position only. Causality, document boundaries and padding come from the batch.
    #[derive(Eq, Hash)]
    pub enum Pattern {
        /// Full attention.
        "global" => Global(NoOptions) with Card { state: "T", time: "T²", ..Card::config_only("1706.03762") },
        /// Sliding window (Longformer, 2004.05150; Mistral, 2310.06825).
        "window" => Window(Window) with window::CARD,
        /// Strided attention (Sparse Transformer, 1904.10509).
        "strided" => Strided(Strided) with strided::CARD,
        /// Fixed attention: the last tokens of every stride are visible to all (Sparse Transformer, 1904.10509).
        "fixed" => Fixed(Fixed) with fixed::CARD,
        /// Block-local attention: the token's own block and neighboring blocks (1911.02972; BigBird, 2007.14062).
        "blocks" => Blocks(Blocks) with blocks::CARD,
        /// Global tokens: the first tokens attend to all tokens and are visible to all (Longformer, 2004.05150;
        /// BigBird, 2007.14062).
        "global_tokens" => GlobalTokens(GlobalTokens) with global_tokens::CARD,
        /// Intersection of patterns.
        "and" => And(Vec<Pattern>) with combined::AND,
        /// Union of patterns.
        "or" => Or(Vec<Pattern>) with combined::OR,
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::Global(NoOptions {})
    }
}

impl PatternRule for Pattern {
    fn formula(&self) -> Formula {
        self.with_rule(|geometry| geometry.formula())
    }

    fn cache_policy(&self) -> CachePolicy {
        self.with_rule(|geometry| geometry.cache_policy())
    }

    fn describe(&self) -> String {
        self.with_rule(|geometry| geometry.describe())
    }
}

impl Pattern {
    /// A window of `before` and `after` tokens besides the token itself.
    pub fn window(before: u32, after: u32) -> Self {
        Self::Window(Window { before, after })
    }

    fn with_rule<R>(&self, read: impl FnOnce(&dyn PatternRule) -> R) -> R {
        match self {
            Self::Global(all) => read(all),
            Self::Window(window) => read(window),
            Self::Strided(strided) => read(strided),
            Self::Fixed(fixed) => read(fixed),
            Self::Blocks(blocks) => read(blocks),
            Self::GlobalTokens(tokens) => read(tokens),
            Self::And(all) => read(&all_of(all)),
            Self::Or(any) => read(&any_of(any)),
        }
    }

    /// The geometry alone, as a formula.
    pub fn formula(&self) -> Formula {
        PatternRule::formula(self)
    }

    /// What a cache keeps for it: what that drops, no later token can see.
    pub fn cache_policy(&self) -> CachePolicy {
        PatternRule::cache_policy(self)
    }

    /// What a token sees in the end: `layer ∧ direction ∧ documents ∧ padding`.
    pub fn visibility_formula(&self) -> Formula {
        Formula::And(vec![key_is_valid(), same_document(), direction_allows(), self.formula()])
    }

    /// The same for keys of another stream (an encoder's output): there is no order between the two.
    pub fn cross_visibility_formula(&self) -> Formula {
        Formula::And(vec![key_is_valid(), same_document(), self.formula()])
    }

    /// Does the query see the key in the end?
    pub fn is_visible(&self, query: &TokenMark, key: &TokenMark) -> bool {
        self.visibility_formula().evaluate(query, key)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// A number of a configuration, as one of a formula.
fn saturating_i32(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// By how many tokens the key stands before the query.
fn query_minus_key() -> Term {
    Term::query(Position).minus(Term::key(Position))
}

fn key_is_valid() -> Formula {
    Formula::Equal(Term::key(Valid), Term::Constant(1))
}

fn same_document() -> Formula {
    Formula::Equal(Term::query(Document), Term::key(Document))
}

fn direction_allows() -> Formula {
    Formula::Or(vec![
        Formula::LessOrEqual(Term::key(Order), Term::query(Order)),
        Formula::Equal(Term::key(Prefix), Term::Constant(1)),
    ])
}
