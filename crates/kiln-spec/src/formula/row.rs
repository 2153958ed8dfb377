//! The first reading for one query and many keys at once: what tables of mixed tiles are made with.

use super::{Formula, Term, TokenSide};
use crate::layout::TokenMark;

/// A term for one query and many keys.
enum TermValues {
    /// It does not depend on the key.
    Constant(i32),
    /// A value a key.
    PerKey(Vec<i32>),
}

impl Formula {
    /// Appends whether it holds for this query and each of these keys.
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

fn combine_rows(
    parts: &[Formula],
    query: &TokenMark,
    keys: &[TokenMark],
    unit: bool,
    join: impl Fn(bool, bool) -> bool,
    out: &mut Vec<bool>,
) {
    let start = out.len();
    out.resize(start + keys.len(), unit);
    let mut part = Vec::with_capacity(keys.len());
    for formula in parts {
        part.clear();
        formula.evaluate_row(query, keys, &mut part);
        out[start..].iter_mut().zip(&part).for_each(|(all, one)| *all = join(*all, *one));
    }
}

impl Term {
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

fn combine_values(a: TermValues, b: TermValues, f: impl Fn(i32, i32) -> i32) -> TermValues {
    use TermValues::{Constant, PerKey};
    match (a, b) {
        (Constant(a), Constant(b)) => Constant(f(a, b)),
        (PerKey(a), Constant(b)) => PerKey(a.into_iter().map(|a| f(a, b)).collect()),
        (Constant(a), PerKey(b)) => PerKey(b.into_iter().map(|b| f(a, b)).collect()),
        (PerKey(a), PerKey(b)) => PerKey(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()),
    }
}

fn compare(a: TermValues, b: TermValues, keys: usize, holds: impl Fn(i32, i32) -> bool, out: &mut Vec<bool>) {
    use TermValues::{Constant, PerKey};
    match (a, b) {
        (Constant(a), Constant(b)) => out.resize(out.len() + keys, holds(a, b)),
        (PerKey(a), Constant(b)) => out.extend(a.into_iter().map(|a| holds(a, b))),
        (Constant(a), PerKey(b)) => out.extend(b.into_iter().map(|b| holds(a, b))),
        (PerKey(a), PerKey(b)) => out.extend(a.into_iter().zip(b).map(|(a, b)| holds(a, b))),
    }
}
