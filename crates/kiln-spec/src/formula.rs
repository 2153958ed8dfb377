//! Who may look at whom, as a formula of two marks that can be read three ways.
//!
//! A [`Formula`] compares integers made of the query's and the key's [`Mark`]. It is read on the host
//! ([`Formula::holds`]), on whole tiles ([`Formula::fill`], by interval arithmetic) and on the device (in
//! `kiln-nn`, over tensors of marks). Each reading walks the same few operations, so a new pattern is a new
//! formula and nothing else.

mod row;

use crate::layout::{MarkRange, TokenMark};

/// Which of the two marks a term reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSide {
    /// The token that looks.
    Query,
    /// The token that is looked at.
    Key,
}

/// An attribute of a mark, as an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkField {
    /// Place within the document, in tokens.
    Position,
    /// Place in the order of seeing.
    Order,
    /// Number of the document.
    Document,
    /// 1 for a token that everybody in its document sees, else 0.
    Prefix,
    /// 1 for a token, 0 for padding or an empty slot.
    Valid,
}

/// An integer made of marks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// A field of one of the marks.
    Field(TokenSide, MarkField),
    /// A constant.
    Constant(i32),
    /// The difference of two terms.
    Minus(Box<Term>, Box<Term>),
    /// Floor division by a positive constant.
    FloorDiv(Box<Term>, i32),
    /// Remainder of floor division by a positive constant, in `0..n`.
    Modulo(Box<Term>, i32),
}

/// A truth about a query and a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Formula {
    /// Left is at most right.
    LessOrEqual(Term, Term),
    /// Both are equal.
    Equal(Term, Term),
    /// Every one holds (true of none).
    And(Vec<Formula>),
    /// Any one holds (false of none).
    Or(Vec<Formula>),
}

/// What is known of a tile of queries × keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileCoverage {
    /// No query sees any key: the tile can be skipped.
    Empty,
    /// Every query sees every key: no mask is needed.
    Full,
    /// Unknown or mixed: the mask decides.
    Partial,
}

impl Term {
    /// The query's field.
    pub fn query(field: MarkField) -> Self {
        Self::Field(TokenSide::Query, field)
    }

    /// The key's field.
    pub fn key(field: MarkField) -> Self {
        Self::Field(TokenSide::Key, field)
    }

    /// `self − other`.
    pub fn minus(self, other: Self) -> Self {
        Self::Minus(Box::new(self), Box::new(other))
    }

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

    /// Least and greatest value over a tile.
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
    /// True of every pair.
    pub fn always_true() -> Self {
        Self::And(Vec::new())
    }

    /// The first reading: for one query and one key, on the host.
    pub fn evaluate(&self, query: &TokenMark, key: &TokenMark) -> bool {
        match self {
            Self::LessOrEqual(a, b) => a.value(query, key) <= b.value(query, key),
            Self::Equal(a, b) => a.value(query, key) == b.value(query, key),
            Self::And(all) => all.iter().all(|f| f.evaluate(query, key)),
            Self::Or(any) => any.iter().any(|f| f.evaluate(query, key)),
        }
    }

    /// The second reading: for a whole tile. Sound, maybe coarse: `Full` and `Empty` are certain.
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
                all.iter().map(|f| f.tile_coverage(query, key)).fold(TileCoverage::Full, TileCoverage::and)
            }
            Self::Or(any) => {
                any.iter().map(|f| f.tile_coverage(query, key)).fold(TileCoverage::Empty, TileCoverage::or)
            }
        }
    }
}

impl TileCoverage {
    fn from_certainty(full: bool, empty: bool) -> Self {
        match (full, empty) {
            (true, _) => Self::Full,
            (_, true) => Self::Empty,
            _ => Self::Partial,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, _) | (_, Self::Empty) => Self::Empty,
            (Self::Full, Self::Full) => Self::Full,
            _ => Self::Partial,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Full, _) | (_, Self::Full) => Self::Full,
            (Self::Empty, Self::Empty) => Self::Empty,
            _ => Self::Partial,
        }
    }
}
