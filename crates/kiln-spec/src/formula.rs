//! Visibility formulas: whether a query attends to a key, as integer comparisons of their token marks.
//!
//! A [`Formula`] is a small expression tree over the fields of two [`TokenMark`]s. The same formula is evaluated in four
//! ways:
//!
//! | evaluation | result | used for |
//! |---|---|---|
//! | [`Formula::evaluate`] | one query, one key | dense masks, reference |
//! | [`Formula::evaluate_row`] | one query, many keys | masks of partial tiles |
//! | [`Formula::tile_coverage`] | block of queries × block of keys, by interval arithmetic | tiles that a kernel skips |
//! | `kiln-nn`, over tensors of marks | all pairs, on the device | masks of tensor kernels |
//!
//! A new attention pattern only needs a new formula; all evaluations follow.
//!
//! For example, the sliding window −after ≤ i − j ≤ before is
//! `And([LessOrEqual(i − j, before), LessOrEqual(−after, i − j)])` with `i` the query's and `j` the key's position.
//! Differences saturate at the limits of `i32`.

mod row;

use crate::layout::{MarkRange, TokenMark};

/// Token whose mark a term refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSide {
    /// The query: the token that attends.
    Query,
    /// The key: the token that is attended to.
    Key,
}

/// Field of a [`TokenMark`], as an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkField {
    /// [`TokenMark::position`].
    Position,
    /// [`TokenMark::order`].
    Order,
    /// [`TokenMark::document`].
    Document,
    /// [`TokenMark::prefix`]: 1 for a prefix token, else 0.
    Prefix,
    /// [`TokenMark::valid`]: 1 for a token, 0 for padding.
    Valid,
}

/// Integer expression over the marks of a query and a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// Field of one of the two marks.
    Field(TokenSide, MarkField),
    /// Constant.
    Constant(i32),
    /// Difference of two terms, saturating.
    Minus(Box<Term>, Box<Term>),
    /// Floor division by a positive constant: ⌊a / n⌋.
    FloorDiv(Box<Term>, i32),
    /// Remainder of floor division by a positive constant: a mod n, in `0..n` also for negative `a`.
    Modulo(Box<Term>, i32),
}

/// Condition on a query and a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Formula {
    /// The first term is at most the second.
    LessOrEqual(Term, Term),
    /// Both terms are equal.
    Equal(Term, Term),
    /// All conditions hold. An empty conjunction is true.
    And(Vec<Formula>),
    /// At least one condition holds. An empty disjunction is false.
    Or(Vec<Formula>),
}

/// Coverage of a tile, a block of queries × a block of keys, by the visible pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileCoverage {
    /// No pair is visible: the tile can be skipped.
    Empty,
    /// All pairs are visible: no mask is needed.
    Full,
    /// Some pairs are visible, or interval arithmetic cannot tell: a mask is needed.
    Partial,
}

impl Term {
    /// Returns the field of the query.
    pub fn query(field: MarkField) -> Self {
        Self::Field(TokenSide::Query, field)
    }

    /// Returns the field of the key.
    pub fn key(field: MarkField) -> Self {
        Self::Field(TokenSide::Key, field)
    }

    /// Returns `self − other`.
    pub fn minus(self, other: Self) -> Self {
        Self::Minus(Box::new(self), Box::new(other))
    }

    /// Value for one pair.
    fn value(&self, query: &TokenMark, key: &TokenMark) -> i32 {
        match self {
            Self::Field(TokenSide::Query, field) => query.field(*field),
            Self::Field(TokenSide::Key, field) => key.field(*field),
            Self::Constant(n) => *n,
            Self::Minus(a, b) => a.value(query, key).saturating_sub(b.value(query, key)),
            Self::FloorDiv(a, n) => a.value(query, key).div_euclid(*n),
            Self::Modulo(a, n) => a.value(query, key).rem_euclid(*n),
        }
    }

    /// Bounds (min, max) of the values over a tile. Exact for single fields; differences ignore correlations.
    fn value_range(&self, query: &MarkRange, key: &MarkRange) -> (i32, i32) {
        match self {
            Self::Field(TokenSide::Query, field) => query.field(*field),
            Self::Field(TokenSide::Key, field) => key.field(*field),
            Self::Constant(n) => (*n, *n),
            Self::Minus(a, b) => {
                let (a, b) = (a.value_range(query, key), b.value_range(query, key));
                (a.0.saturating_sub(b.1), a.1.saturating_sub(b.0))
            }
            Self::FloorDiv(a, n) => {
                let (low, high) = a.value_range(query, key);
                (low.div_euclid(*n), high.div_euclid(*n))
            }
            Self::Modulo(a, n) => {
                let (low, high) = a.value_range(query, key);
                // Within one period the remainder is monotone; otherwise it may take every value.
                if low.div_euclid(*n) == high.div_euclid(*n) {
                    (low.rem_euclid(*n), high.rem_euclid(*n))
                } else {
                    (0, n - 1)
                }
            }
        }
    }
}

impl Formula {
    /// Returns the condition that holds for every pair.
    pub fn always_true() -> Self {
        Self::And(Vec::new())
    }

    /// Returns whether the condition holds for one query and one key.
    pub fn evaluate(&self, query: &TokenMark, key: &TokenMark) -> bool {
        match self {
            Self::LessOrEqual(a, b) => a.value(query, key) <= b.value(query, key),
            Self::Equal(a, b) => a.value(query, key) == b.value(query, key),
            Self::And(all) => all.iter().all(|formula| formula.evaluate(query, key)),
            Self::Or(any) => any.iter().any(|formula| formula.evaluate(query, key)),
        }
    }

    /// Returns the coverage of a tile, given the value ranges of its queries and keys.
    ///
    /// Sound but conservative: [`Full`](TileCoverage::Full) and [`Empty`](TileCoverage::Empty) are certain, while
    /// [`Partial`](TileCoverage::Partial) may be returned for any tile. Costs O(size of the formula), independent of the
    /// size of the tile.
    pub fn tile_coverage(&self, query: &MarkRange, key: &MarkRange) -> TileCoverage {
        match self {
            Self::LessOrEqual(a, b) => {
                let (a, b) = (a.value_range(query, key), b.value_range(query, key));
                TileCoverage::from_certainty(a.1 <= b.0, a.0 > b.1)
            }
            Self::Equal(a, b) => {
                let (a, b) = (a.value_range(query, key), b.value_range(query, key));
                TileCoverage::from_certainty(a.0 == a.1 && a == b, a.1 < b.0 || b.1 < a.0)
            }
            Self::And(all) => {
                all.iter().map(|formula| formula.tile_coverage(query, key)).fold(TileCoverage::Full, TileCoverage::and)
            }
            Self::Or(any) => {
                any.iter().map(|formula| formula.tile_coverage(query, key)).fold(TileCoverage::Empty, TileCoverage::or)
            }
        }
    }
}

impl TileCoverage {
    /// Coverage from what is certain: that all pairs are visible, or that none is.
    fn from_certainty(full: bool, empty: bool) -> Self {
        match (full, empty) {
            (true, _) => Self::Full,
            (_, true) => Self::Empty,
            _ => Self::Partial,
        }
    }

    /// Coverage of a conjunction.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, _) | (_, Self::Empty) => Self::Empty,
            (Self::Full, Self::Full) => Self::Full,
            _ => Self::Partial,
        }
    }

    /// Coverage of a disjunction.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Full, _) | (_, Self::Full) => Self::Full,
            (Self::Empty, Self::Empty) => Self::Empty,
            _ => Self::Partial,
        }
    }
}
