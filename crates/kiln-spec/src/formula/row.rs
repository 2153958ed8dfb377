//! Evaluation of a formula for one query and many keys: the rows of masks.
//!
//! Walks the formula once per row and each operation over all keys, which is several times faster than pair by pair.

use super::{Formula, Term, TokenSide};
use crate::layout::TokenMark;

/// Values of a term for one query and many keys.
enum TermValues {
    /// The term does not depend on the key.
    Constant(i32),
    /// One value for each key.
    PerKey(Vec<i32>),
}

impl Formula {
    /// Appends to `out`, for each of `keys`, whether the condition holds for `query` and this key.
    pub fn evaluate_row(&self, query: &TokenMark, keys: &[TokenMark], out: &mut Vec<bool>) {
        match self {
            Self::LessOrEqual(a, b) => {
                compare(a.values_for_keys(query, keys), b.values_for_keys(query, keys), keys.len(), |a, b| a <= b, out)
            }
            Self::Equal(a, b) => {
                compare(a.values_for_keys(query, keys), b.values_for_keys(query, keys), keys.len(), |a, b| a == b, out)
            }
            Self::And(all) => combine_rows(all, query, keys, true, |a, b| a & b, out),
            Self::Or(any) => combine_rows(any, query, keys, false, |a, b| a | b, out),
        }
    }
}

/// Appends the rows of several formulas, combined with `join`. `unit` is the result without formulas.
fn combine_rows(
    formulas: &[Formula],
    query: &TokenMark,
    keys: &[TokenMark],
    unit: bool,
    join: impl Fn(bool, bool) -> bool,
    out: &mut Vec<bool>,
) {
    let start = out.len();
    out.resize(start + keys.len(), unit);
    let mut row = Vec::with_capacity(keys.len());
    for formula in formulas {
        row.clear();
        formula.evaluate_row(query, keys, &mut row);
        out[start..].iter_mut().zip(&row).for_each(|(combined, value)| *combined = join(*combined, *value));
    }
}

impl Term {
    /// Values for one query and all keys.
    fn values_for_keys(&self, query: &TokenMark, keys: &[TokenMark]) -> TermValues {
        match self {
            Self::Field(TokenSide::Query, field) => TermValues::Constant(query.field(*field)),
            Self::Field(TokenSide::Key, field) => {
                TermValues::PerKey(keys.iter().map(|key| key.field(*field)).collect())
            }
            Self::Constant(n) => TermValues::Constant(*n),
            Self::Minus(a, b) => {
                combine_values(a.values_for_keys(query, keys), b.values_for_keys(query, keys), i32::saturating_sub)
            }
            Self::FloorDiv(a, n) => {
                combine_values(a.values_for_keys(query, keys), TermValues::Constant(*n), i32::div_euclid)
            }
            Self::Modulo(a, n) => {
                combine_values(a.values_for_keys(query, keys), TermValues::Constant(*n), i32::rem_euclid)
            }
        }
    }
}

/// Applies an operation to two terms, key by key.
fn combine_values(a: TermValues, b: TermValues, f: impl Fn(i32, i32) -> i32) -> TermValues {
    use TermValues::{Constant, PerKey};
    match (a, b) {
        (Constant(a), Constant(b)) => Constant(f(a, b)),
        (PerKey(a), Constant(b)) => PerKey(a.into_iter().map(|a| f(a, b)).collect()),
        (Constant(a), PerKey(b)) => PerKey(b.into_iter().map(|b| f(a, b)).collect()),
        (PerKey(a), PerKey(b)) => PerKey(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()),
    }
}

/// Appends the comparison of two terms, key by key; `num_keys` is needed if neither depends on the key.
fn compare(a: TermValues, b: TermValues, num_keys: usize, holds: impl Fn(i32, i32) -> bool, out: &mut Vec<bool>) {
    use TermValues::{Constant, PerKey};
    match (a, b) {
        (Constant(a), Constant(b)) => out.resize(out.len() + num_keys, holds(a, b)),
        (PerKey(a), Constant(b)) => out.extend(a.into_iter().map(|a| holds(a, b))),
        (Constant(a), PerKey(b)) => out.extend(b.into_iter().map(|b| holds(a, b))),
        (PerKey(a), PerKey(b)) => out.extend(a.into_iter().zip(b).map(|(a, b)| holds(a, b))),
    }
}
