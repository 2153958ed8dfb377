//! Random patterns, layouts and formulas.

use kiln_spec::{
    Direction, DocumentSpan, Formula, Layout, Pattern, TokenMark,
    config::NoOptions,
    formula::{MarkField, Term, TokenSide},
    pattern::{Blocks, Fixed, GlobalTokens, Strided},
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::num::NonZeroU32;

/// Any pattern that is not combined.
pub fn single_pattern() -> impl Strategy<Value = Pattern> {
    let some = || (1u32..6).prop_map(|n| NonZeroU32::new(n).expect("above 0"));
    prop_oneof![
        1 => Just(Pattern::Global(NoOptions {})),
        4 => (0u32..6, 0u32..4).prop_map(|(before, after)| Pattern::window(before, after)),
        1 => some().prop_map(|stride| Pattern::Strided(Strided { stride })),
        1 => (some(), 0u32..7).prop_map(|(stride, summaries)| Pattern::Fixed(Fixed { stride, summaries })),
        2 => (some(), 0u32..3, 0u32..2)
            .prop_map(|(size, before, after)| Pattern::Blocks(Blocks { size, before, after })),
        2 => some().prop_map(|first| Pattern::GlobalTokens(GlobalTokens { first })),
    ]
}

/// Any pattern, also combined and nested.
pub fn pattern() -> impl Strategy<Value = Pattern> {
    single_pattern().prop_recursive(3, 12, 3, |inner| {
        let some = vec(inner, 1..4);
        prop_oneof![some.clone().prop_map(Pattern::And), some.prop_map(Pattern::Or)]
    })
}

/// Any direction.
pub fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![
        Just(Direction::Causal),
        Just(Direction::Bidirectional),
        (0usize..6).prop_map(Direction::Prefix),
        Just(Direction::Reversed),
    ]
}

/// Documents of a row, from position 0.
pub fn document_spans() -> impl Strategy<Value = Vec<DocumentSpan>> {
    vec((0usize..8, direction()).prop_map(|(length, direction)| DocumentSpan { length, start: 0, direction }), 0..4)
}

/// Rows of packed documents, padded or truncated.
pub fn layout() -> impl Strategy<Value = Layout> {
    (vec(document_spans(), 1..4), 1usize..20).prop_map(|(rows, width)| Layout::packed(&rows, width))
}

/// Any mark, also those that no layout contains.
pub fn mark() -> impl Strategy<Value = TokenMark> {
    (-5i32..12, -12i32..12, 0i32..3, any::<bool>(), any::<bool>())
        .prop_map(|(position, order, document, prefix, valid)| TokenMark { position, order, document, prefix, valid })
}

/// Any formula, also those that no pattern has.
pub fn formula() -> impl Strategy<Value = Formula> {
    let compare = (term(), term(), any::<bool>())
        .prop_map(|(a, b, equal)| if equal { Formula::Equal(a, b) } else { Formula::LessOrEqual(a, b) });
    compare.prop_recursive(3, 12, 3, |inner| {
        let some = vec(inner, 0..4);
        prop_oneof![some.clone().prop_map(Formula::And), some.prop_map(Formula::Or)]
    })
}

/// Any term of a formula.
pub fn term() -> impl Strategy<Value = Term> {
    let fields =
        select(vec![MarkField::Position, MarkField::Order, MarkField::Document, MarkField::Prefix, MarkField::Valid]);
    let of =
        (select(vec![TokenSide::Query, TokenSide::Key]), fields).prop_map(|(side, field)| Term::Field(side, field));
    let leaf = prop_oneof![3 => of, 1 => (-4i32..8).prop_map(Term::Constant)];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.minus(b)),
            (inner.clone(), 1i32..5).prop_map(|(a, n)| Term::FloorDiv(Box::new(a), n)),
            (inner, 1i32..5).prop_map(|(a, n)| Term::Modulo(Box::new(a), n)),
        ]
    })
}

/// Independent definition of the patterns, by stepping and counting instead of division.
pub fn pattern_allows(pattern: &Pattern, query: &TokenMark, key: &TokenMark) -> bool {
    let (i, j) = (i64::from(query.position), i64::from(key.position));
    let back = i - j;
    match pattern {
        Pattern::Global(_) => true,
        Pattern::Window(w) => back <= i64::from(w.before) && -back <= i64::from(w.after),
        Pattern::Strided(s) => {
            steps(i.min(j), i64::from(s.stride.get())).take_while(|at| *at <= i.max(j)).any(|at| at == i.max(j))
        }
        Pattern::Fixed(f) => {
            let stride = i64::from(f.stride.get());
            let end = steps(block_start(j, stride), 1).nth(f.stride.get() as usize).expect("endless");
            j + i64::from(f.summaries) >= end
        }
        Pattern::Blocks(b) => {
            let size = i64::from(b.size.get());
            let (own, own_of_key) = (block_start(i, size), block_start(j, size));
            let blocks = -i64::from(b.before)..=i64::from(b.after);
            blocks.into_iter().any(|distance| own_of_key == own + distance * size)
        }
        Pattern::GlobalTokens(g) => i.min(j) < i64::from(g.first.get()),
        Pattern::And(all) => all.iter().all(|p| pattern_allows(p, query, key)),
        Pattern::Or(any) => any.iter().any(|p| pattern_allows(p, query, key)),
    }
}

fn steps(from: i64, by: i64) -> impl Iterator<Item = i64> {
    std::iter::successors(Some(from), move |at| Some(at + by))
}

/// First position of the block of `size` tokens that contains `position`.
fn block_start(position: i64, size: i64) -> i64 {
    steps(-10 * size, size).take_while(|begin| *begin <= position).last().expect("positions from −10 on")
}
