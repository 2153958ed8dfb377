//! Patterns against their definitions, and the algebra of combined patterns.

use crate::common::{document_spans, layout, mark, pattern, pattern_allows};
use kiln_spec::{Direction, DocumentSpan, Formula, Layout, Pattern, config::NoOptions, plan::dense_mask};
use proptest::prelude::*;

/// Mask of a row of documents from the definition of [`Direction`]. In `row`, `None` is padding.
fn expected_mask(pieces: &[DocumentSpan], width: usize, pattern: &Pattern) -> Vec<bool> {
    let documents = pieces.iter().enumerate().flat_map(|(d, p)| (0..p.length).map(move |i| Some((d, i, p.direction))));
    let row: Vec<_> = documents.chain(std::iter::repeat(None)).take(width).collect();
    let sees = |query: &Option<(usize, usize, Direction)>, key: &Option<(usize, usize, Direction)>| {
        let (Some((a, i, direction)), Some((b, j, _))) = (*query, *key) else { return false };
        let direction = match direction {
            Direction::Causal => j <= i,
            Direction::Bidirectional => true,
            Direction::Prefix(n) => j <= i || j < n,
            Direction::Reversed => j >= i,
        };
        let mark = |position: usize| kiln_spec::TokenMark::new(position, 0, Direction::Causal);
        a == b && direction && pattern_allows(pattern, &mark(i), &mark(j))
    };
    row.iter().flat_map(|query| row.iter().map(move |key| sees(query, key))).collect()
}

/// Mask of the valid queries. The rows of padding queries are irrelevant and set to false.
fn dense_table(layout: &Layout, row: usize, formula: &Formula) -> Vec<bool> {
    let marks = layout.row(row);
    let live = marks.iter().flat_map(|query| marks.iter().map(|_| query.valid));
    dense_mask(formula, marks, marks).into_iter().zip(live).map(|(sees, live)| sees && live).collect()
}

proptest! {
    #[test]
    fn masks_match_the_definitions(pieces in document_spans(), width in 1usize..20, pattern in pattern()) {
        let layout = Layout::packed(std::slice::from_ref(&pieces), width);
        prop_assert_eq!(dense_table(&layout, 0, &pattern.visibility_formula()), expected_mask(&pieces, width, &pattern));
    }

    #[test]
    fn masks_of_windows_are_exact(before in 0u32..5, after in 0u32..5) {
        let pieces = [DocumentSpan { length: 12, start: 0, direction: Direction::Bidirectional }];
        let layout = Layout::packed(&[pieces.to_vec()], 12);
        let have = dense_table(&layout, 0, &Pattern::window(before, after).visibility_formula());
        prop_assert_eq!(&have, &expected_mask(&pieces, 12, &Pattern::window(before, after)));
        prop_assert_ne!(&have, &expected_mask(&pieces, 12, &Pattern::window(before + 1, after)));
        prop_assert_ne!(&have, &expected_mask(&pieces, 12, &Pattern::window(before, after + 1)));
    }

    #[test]
    fn visibility_is_the_conjunction_of_its_conditions(pattern in pattern(), query in mark(), key in mark()) {
        let seen = key.valid && query.document == key.document && (key.order <= query.order || key.prefix)
            && pattern_allows(&pattern, &query, &key);
        prop_assert_eq!(pattern.is_visible(&query, &key), seen);
        let across = key.valid && query.document == key.document && pattern_allows(&pattern, &query, &key);
        prop_assert_eq!(pattern.cross_visibility_formula().evaluate(&query, &key), across);
    }

    #[test]
    fn and_or_form_a_distributive_lattice(a in pattern(), b in pattern(), c in pattern(), layout in layout()) {
        let and = |of: &[&Pattern]| Pattern::And(of.iter().map(|p| (*p).clone()).collect());
        let or = |of: &[&Pattern]| Pattern::Or(of.iter().map(|p| (*p).clone()).collect());
        let all = Pattern::Global(NoOptions {});
        let equal = [
            (and(&[&a, &b]), and(&[&b, &a])),
            (or(&[&a, &b]), or(&[&b, &a])),
            (and(&[&a, &and(&[&b, &c])]), and(&[&a, &b, &c])),
            (or(&[&a, &or(&[&b, &c])]), or(&[&a, &b, &c])),
            (and(&[&a, &or(&[&b, &c])]), or(&[&and(&[&a, &b]), &and(&[&a, &c])])),
            (or(&[&a, &and(&[&b, &c])]), and(&[&or(&[&a, &b]), &or(&[&a, &c])])),
            (and(&[&a, &or(&[&a, &b])]), a.clone()),
            (or(&[&a, &and(&[&a, &b])]), a.clone()),
            (and(&[&a, &all]), a.clone()),
            (or(&[&a, &all]), all.clone()),
            (and(&[]), all.clone()),
            (or(&[&a, &or(&[])]), a.clone()),
        ];
        for (left, right) in equal {
            for row in 0..layout.batch_size() {
                let tables = [&left, &right].map(|p| dense_table(&layout, row, &p.visibility_formula()));
                prop_assert_eq!(&tables[0], &tables[1], "{:?} {:?}", left, right);
            }
        }
    }

    /// De Morgan: ¬(a ∧ b) = ¬a ∨ ¬b and ¬(a ∨ b) = ¬a ∧ ¬b.
    #[test]
    fn de_morgan_holds(a in pattern(), b in pattern(), layout in layout()) {
        for row in 0..layout.batch_size() {
            let [both, any, a, b] = [Pattern::And(vec![a.clone(), b.clone()]), Pattern::Or(vec![a.clone(), b.clone()]), a.clone(), b.clone()]
                .map(|p| dense_mask(&p.formula(), layout.row(row), layout.row(row)));
            for i in 0..a.len() {
                prop_assert_eq!(!both[i], !a[i] || !b[i]);
                prop_assert_eq!(!any[i], !a[i] && !b[i]);
            }
        }
    }

    #[test]
    fn patterns_round_trip_through_toml(pattern in pattern()) {
        let text = kiln_spec::config::to_toml(&std::collections::BTreeMap::from([("pattern", &pattern)]));
        let read: std::collections::BTreeMap<String, Pattern> = kiln_spec::config::parse(&text, None).expect("its own text");
        prop_assert_eq!(&read["pattern"], &pattern);
    }
}

#[test]
fn the_widest_window_is_full_attention() {
    let layout = Layout::packed(&[vec![DocumentSpan { length: 9, start: 0, direction: Direction::Bidirectional }]], 9);
    let widest = Pattern::window(u32::MAX, u32::MAX);
    assert_eq!(
        dense_table(&layout, 0, &widest.visibility_formula()),
        dense_table(&layout, 0, &Pattern::default().visibility_formula())
    );
}
