//! Tile coverage and tile plans against brute force.

use crate::common::{direction, formula, layout, mark, pattern};
use kiln_spec::{
    Direction, DocumentSpan, Formula, Layout, Pattern, TileCoverage,
    layout::MarkRange,
    plan::{TilePlan, dense_mask},
};
use proptest::{collection::vec, prelude::*};

/// Coverage of a tile, pair by pair.
fn brute_force(formula: &Formula, queries: &[kiln_spec::TokenMark], keys: &[kiln_spec::TokenMark]) -> TileCoverage {
    let table = dense_mask(formula, queries, keys);
    match (table.iter().all(|sees| *sees), table.iter().any(|sees| *sees)) {
        (true, _) => TileCoverage::Full,
        (_, false) => TileCoverage::Empty,
        _ => TileCoverage::Partial,
    }
}

/// Whether a coverage is correct: exact, or undecided.
fn is_sound(coverage: TileCoverage, exact: TileCoverage) -> bool {
    coverage == TileCoverage::Partial || coverage == exact
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn certain_coverage_is_correct(formula in formula(), queries in vec(mark(), 1..6), keys in vec(mark(), 1..6)) {
        let said = formula.tile_coverage(&MarkRange::from_marks(&queries), &MarkRange::from_marks(&keys));
        prop_assert!(is_sound(said, brute_force(&formula, &queries, &keys)), "{:?}", said);
    }

    #[test]
    fn the_coverage_of_one_pair_is_exact(formula in formula(), query in mark(), key in mark()) {
        let said = formula.tile_coverage(&MarkRange::from_marks(&[query]), &MarkRange::from_marks(&[key]));
        prop_assert_eq!(said, brute_force(&formula, &[query], &[key]));
    }
}

/// Dense mask of a tile plan.
fn dense_from_tiles(tiles: &TilePlan, keys: usize) -> Vec<bool> {
    let mut table = Vec::new();
    for number in 0..keys.div_ceil(tiles.tile_size) {
        for row in 0..tiles.tile_size.min(keys - number * tiles.tile_size) {
            let start = table.len();
            table.resize(start + keys, false);
            for tile in tiles.tiles_of_block(number) {
                let cells = &mut table[start + tile.first_key..start + tile.first_key + tile.num_keys];
                match tiles.visible_keys(tile, row) {
                    Some(seen) => cells.copy_from_slice(seen),
                    None => cells.fill(true),
                }
            }
        }
    }
    table
}

proptest! {
    #[test]
    fn evaluate_row_equals_evaluate(formula in formula(), query in mark(), keys in vec(mark(), 0..9)) {
        let mut row = vec![true];
        formula.evaluate_row(&query, &keys, &mut row);
        prop_assert_eq!(&row[1..], dense_mask(&formula, &[query], &keys));
    }

    #[test]
    fn tile_plans_of_layouts_equal_the_dense_mask(layout in layout(), pattern in pattern(), size in 1usize..7) {
        let formula = pattern.visibility_formula();
        for row in 0..layout.batch_size() {
            let marks = layout.row(row);
            let tiles = TilePlan::new(&formula, marks, marks, size);
            let mut fills = tiles.coverage.iter();
            for queries in marks.chunks(size) {
                for keys in marks.chunks(size) {
                    let said = *fills.next().expect("a fill for each tile");
                    prop_assert!(is_sound(said, brute_force(&formula, queries, keys)));
                }
            }
            prop_assert!(fills.next().is_none());
            prop_assert_eq!(dense_from_tiles(&tiles, marks.len()), dense_mask(&formula, marks, marks));
            let table = dense_mask(&formula, marks, marks);
            let again = TilePlan::from_dense(|pair| table[pair], [marks.len(); 2], size);
            prop_assert_eq!(dense_from_tiles(&again, marks.len()), table);
            prop_assert_eq!(tiles.num_key_tiles, marks.len().div_ceil(size));
        }
    }

    #[test]
    fn coverage_of_a_window_in_one_document_is_exact(
        n in 1usize..8, size in 1usize..5, before in 0u32..12, after in 0u32..12, direction in direction(),
    ) {
        let layout = Layout::packed(&[vec![DocumentSpan { length: n * size, start: 3, direction }]], n * size);
        let formula = Pattern::window(before, after).visibility_formula();
        let tiles = TilePlan::new(&formula, layout.row(0), layout.row(0), size);
        let each = layout.row(0).chunks(size).flat_map(|q| layout.row(0).chunks(size).map(move |k| (q, k)));
        let exact: Vec<TileCoverage> = each.map(|(q, k)| brute_force(&formula, q, k)).collect();
        // Within a document all compared terms are monotone, except for the prefix mark.
        let known = |is: TileCoverage, said: TileCoverage| is == said || matches!((direction, is), (Direction::Prefix(_), TileCoverage::Empty));
        prop_assert!(exact.iter().zip(&tiles.coverage).all(|(is, said)| known(*is, *said)), "{:?}", tiles);
    }
}

#[test]
fn nearly_half_of_the_tiles_of_a_causal_plan_are_empty() {
    let layout = Layout::packed(&[vec![DocumentSpan { length: 64, start: 0, direction: Direction::Causal }]], 64);
    let tiles = TilePlan::new(&Pattern::default().visibility_formula(), layout.row(0), layout.row(0), 8);
    let count = |fill| tiles.coverage.iter().filter(|f| **f == fill).count();
    assert_eq!((count(TileCoverage::Empty), count(TileCoverage::Full), count(TileCoverage::Partial)), (28, 28, 8));
    assert_eq!(tiles.empty_fraction(), 28.0 / 64.0);
}

#[test]
fn tiles_across_documents_and_padding_are_empty() {
    let piece = |length| DocumentSpan { length, start: 0, direction: Direction::Bidirectional };
    let layout = Layout::packed(&[vec![piece(8), piece(8)]], 24);
    let tiles = TilePlan::new(&Pattern::default().visibility_formula(), layout.row(0), layout.row(0), 8);
    use TileCoverage::{Empty, Full};
    // Padding (the last block) has document 0. It is never visible as a key, but is not skipped as a query.
    assert_eq!(tiles.coverage, [Full, Empty, Empty, Empty, Full, Empty, Full, Empty, Empty]);
}
