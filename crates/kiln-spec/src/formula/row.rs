//! The first reading for one query and many keys at once: what tables of mixed tiles are made with.

use super::{Formula, Side, Term};
use crate::layout::Mark;

/// A term for one query and many keys.
enum Values {
    /// It does not depend on the key.
    Same(i32),
    /// A value a key.
    Each(Vec<i32>),
}

impl Formula {
    /// Appends whether it holds for this query and each of these keys.
    pub fn row(&self, query: &Mark, keys: &[Mark], out: &mut Vec<bool>) {
        match self {
            Self::AtMost(a, b) => compare(a.values(query, keys), b.values(query, keys), keys.len(), |a, b| a <= b, out),
            Self::Equal(a, b) => compare(a.values(query, keys), b.values(query, keys), keys.len(), |a, b| a == b, out),
            Self::And(all) => join(all, query, keys, true, |a, b| a & b, out),
            Self::Or(any) => join(any, query, keys, false, |a, b| a | b, out),
        }
    }
}

fn join(
    parts: &[Formula],
    query: &Mark,
    keys: &[Mark],
    unit: bool,
    join: impl Fn(bool, bool) -> bool,
    out: &mut Vec<bool>,
) {
    let start = out.len();
    out.resize(start + keys.len(), unit);
    let mut part = Vec::with_capacity(keys.len());
    for formula in parts {
        part.clear();
        formula.row(query, keys, &mut part);
        out[start..].iter_mut().zip(&part).for_each(|(all, one)| *all = join(*all, *one));
    }
}

impl Term {
    fn values(&self, query: &Mark, keys: &[Mark]) -> Values {
        match self {
            Self::Of(Side::Query, field) => Values::Same(query.field(*field)),
            Self::Of(Side::Key, field) => Values::Each(keys.iter().map(|key| key.field(*field)).collect()),
            Self::Constant(n) => Values::Same(*n),
            Self::Minus(a, b) => with(a.values(query, keys), b.values(query, keys), i32::saturating_sub),
            Self::Over(a, n) => with(a.values(query, keys), Values::Same(*n), i32::div_euclid),
            Self::Modulo(a, n) => with(a.values(query, keys), Values::Same(*n), i32::rem_euclid),
        }
    }
}

fn with(a: Values, b: Values, f: impl Fn(i32, i32) -> i32) -> Values {
    use Values::{Each, Same};
    match (a, b) {
        (Same(a), Same(b)) => Same(f(a, b)),
        (Each(a), Same(b)) => Each(a.into_iter().map(|a| f(a, b)).collect()),
        (Same(a), Each(b)) => Each(b.into_iter().map(|b| f(a, b)).collect()),
        (Each(a), Each(b)) => Each(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()),
    }
}

fn compare(a: Values, b: Values, keys: usize, holds: impl Fn(i32, i32) -> bool, out: &mut Vec<bool>) {
    use Values::{Each, Same};
    match (a, b) {
        (Same(a), Same(b)) => out.resize(out.len() + keys, holds(a, b)),
        (Each(a), Same(b)) => out.extend(a.into_iter().map(|a| holds(a, b))),
        (Same(a), Each(b)) => out.extend(b.into_iter().map(|b| holds(a, b))),
        (Each(a), Each(b)) => out.extend(a.into_iter().zip(b).map(|(a, b)| holds(a, b))),
    }
}
