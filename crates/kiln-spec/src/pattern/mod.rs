//! Attention patterns: which keys a layer allows for a query, by their positions.
//!
//! With query position i and key position j within the document:
//!
//! | pattern | key is allowed if | source |
//! |---|---|---|
//! | `global` | always | 1706.03762 |
//! | `window` | −after ≤ i − j ≤ before | 2004.05150, 2310.06825 |
//! | `strided` | (i − j) mod stride = 0 | 1904.10509, section 4.3 |
//! | `fixed` | j mod stride ≥ stride − summaries | 1904.10509, section 4.3 |
//! | `blocks` | −after ≤ ⌊i/size⌋ − ⌊j/size⌋ ≤ before | 1911.02972, 2007.14062 |
//! | `global_tokens` | i < first ∨ j < first | 2004.05150, 2007.14062 |
//! | `and` | all of the members allow it | |
//! | `or` | one of the members allows it | |
//!
//! Known combinations: a dilated window is `window` and `strided`; BigBird without its random part is `blocks` or
//! `global_tokens`; the Sparse Transformer is `window` or `strided`, or `blocks` or `fixed`; attention sinks are `window`
//! or `global_tokens`.
//!
//! Causality, documents and padding are not part of a pattern: they come from the [`crate::layout`] of the batch, and
//! [`Pattern::visibility_formula`] combines both.
//!
//! To add a pattern, write a file with a [`PatternRule`] (its formula and its cache policy) and list it in [`Pattern`].

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

/// Definition of a pattern: its formula and what follows for a KV cache.
pub trait PatternRule {
    /// Returns the condition on the positions of a query and a key.
    fn formula(&self) -> Formula;

    /// Returns which keys a KV cache keeps during causal generation. A dropped key must be visible to no later token.
    fn cache_policy(&self) -> CachePolicy;

    /// Returns a short description: `window of 64 before, 0 after`.
    fn describe(&self) -> String;
}

crate::choice! {
    /// Which tokens may attend to which, by their positions. The causal mask, document boundaries and padding are
    /// applied in addition.
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
        self.with_rule(|rule| rule.formula())
    }

    fn cache_policy(&self) -> CachePolicy {
        self.with_rule(|rule| rule.cache_policy())
    }

    fn describe(&self) -> String {
        self.with_rule(|rule| rule.describe())
    }
}

impl Pattern {
    /// Returns a window of `before` and `after` tokens in addition to the token itself.
    pub fn window(before: u32, after: u32) -> Self {
        Self::Window(Window { before, after })
    }

    /// Calls `read` with the definition of the alternative.
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

    /// Returns the condition of the pattern alone, without direction, documents and padding.
    pub fn formula(&self) -> Formula {
        PatternRule::formula(self)
    }

    /// Returns which keys a KV cache keeps for this pattern during causal generation.
    pub fn cache_policy(&self) -> CachePolicy {
        PatternRule::cache_policy(self)
    }

    /// Returns the complete condition for self-attention:
    /// `key valid ∧ same document ∧ (key order ≤ query order ∨ key in prefix) ∧ pattern`.
    pub fn visibility_formula(&self) -> Formula {
        Formula::And(vec![key_is_valid(), same_document(), direction_allows(), self.formula()])
    }

    /// Returns the condition for cross-attention, whose keys are tokens of another sequence (an encoder output):
    /// `key valid ∧ same document ∧ pattern`. There is no causal order between the two sequences.
    pub fn cross_visibility_formula(&self) -> Formula {
        Formula::And(vec![key_is_valid(), same_document(), self.formula()])
    }

    /// Returns whether the query attends to the key, by [`visibility_formula`](Self::visibility_formula).
    pub fn is_visible(&self, query: &TokenMark, key: &TokenMark) -> bool {
        self.visibility_formula().evaluate(query, key)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// Configuration number as a constant of a formula. Numbers beyond `i32` exceed every position anyway.
fn saturating_i32(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Distance i − j: by how many tokens the key precedes the query.
fn query_minus_key() -> Term {
    Term::query(Position).minus(Term::key(Position))
}

/// The key is not padding.
fn key_is_valid() -> Formula {
    Formula::Equal(Term::key(Valid), Term::Constant(1))
}

/// Query and key are in the same document.
fn same_document() -> Formula {
    Formula::Equal(Term::query(Document), Term::key(Document))
}

/// The direction of the document allows the pair.
fn direction_allows() -> Formula {
    Formula::Or(vec![
        Formula::LessOrEqual(Term::key(Order), Term::query(Order)),
        Formula::Equal(Term::key(Prefix), Term::Constant(1)),
    ])
}
