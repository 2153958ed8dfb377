//! The reading of whole tiles is certain where it says so, and says so where it should.

mod common;

use common::{direction, formula, layout, mark, pattern};
use kiln_spec::{
    Direction, Fill, Formula, Layout, Pattern, Piece,
    layout::Span,
    plan::{Tiles, dense},
};
use proptest::{collection::vec, prelude::*};

/// What a tile holds, pair by pair.
fn brute_force(formula: &Formula, queries: &[kiln_spec::Mark], keys: &[kiln_spec::Mark]) -> Fill {
    let table = dense(formula, queries, keys);
    match (table.iter().all(|sees| *sees), table.iter().any(|sees| *sees)) {
        (true, _) => Fill::Full,
        (_, false) => Fill::Empty,
        _ => Fill::Partial,
    }
}

fn certain(said: Fill, is: Fill) -> bool {
    said == Fill::Partial || said == is
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_certain_tile_is_as_it_says(formula in formula(), queries in vec(mark(), 1..6), keys in vec(mark(), 1..6)) {
        let said = formula.fill(&Span::of(&queries), &Span::of(&keys));
        prop_assert!(certain(said, brute_force(&formula, &queries, &keys)), "{:?}", said);
    }

    #[test]
    fn tiles_of_one_pair_are_exact(formula in formula(), query in mark(), key in mark()) {
        let said = formula.fill(&Span::of(&[query]), &Span::of(&[key]));
        prop_assert_eq!(said, brute_force(&formula, &[query], &[key]));
    }
}

/// The dense table that the tiles stand for.
fn walked(tiles: &Tiles, keys: usize) -> Vec<bool> {
    let mut table = Vec::new();
    for number in 0..keys.div_ceil(tiles.size) {
        for row in 0..tiles.size.min(keys - number * tiles.size) {
            let start = table.len();
            table.resize(start + keys, false);
            for tile in tiles.block(number) {
                let cells = &mut table[start + tile.first..start + tile.first + tile.keys];
                match tiles.seen(tile, row) {
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
    fn many_keys_at_once_are_one_by_one(formula in formula(), query in mark(), keys in vec(mark(), 0..9)) {
        let mut row = vec![true];
        formula.row(&query, &keys, &mut row);
        prop_assert_eq!(&row[1..], dense(&formula, &[query], &keys));
    }

    #[test]
    fn tiles_of_layouts_are_certain(layout in layout(), pattern in pattern(), size in 1usize..7) {
        let formula = pattern.visible();
        for row in 0..layout.rows() {
            let marks = layout.row(row);
            let tiles = Tiles::new(&formula, marks, marks, size);
            let mut fills = tiles.fills.iter();
            for queries in marks.chunks(size) {
                for keys in marks.chunks(size) {
                    let said = *fills.next().expect("a fill for each tile");
                    prop_assert!(certain(said, brute_force(&formula, queries, keys)));
                }
            }
            prop_assert!(fills.next().is_none());
            prop_assert_eq!(walked(&tiles, marks.len()), dense(&formula, marks, marks));
            let table = dense(&formula, marks, marks);
            let again = Tiles::of_table(|pair| table[pair], [marks.len(); 2], size);
            prop_assert_eq!(walked(&again, marks.len()), table);
            prop_assert_eq!(tiles.columns, marks.len().div_ceil(size));
        }
    }

    #[test]
    fn one_document_and_one_window_is_known_exactly(
        n in 1usize..8, size in 1usize..5, before in 0u32..12, after in 0u32..12, direction in direction(),
    ) {
        let layout = Layout::packed(&[vec![Piece { length: n * size, start: 3, direction }]], n * size);
        let formula = Pattern::window(before, after).visible();
        let tiles = Tiles::new(&formula, layout.row(0), layout.row(0), size);
        let each = layout.row(0).chunks(size).flat_map(|q| layout.row(0).chunks(size).map(move |k| (q, k)));
        let exact: Vec<Fill> = each.map(|(q, k)| brute_force(&formula, q, k)).collect();
        // Along a document everything compared is monotone, save the marks of a prefix.
        let known = |is: Fill, said: Fill| is == said || matches!((direction, is), (Direction::Prefix(_), Fill::Empty));
        prop_assert!(exact.iter().zip(&tiles.fills).all(|(is, said)| known(*is, *said)), "{:?}", tiles);
    }
}

#[test]
fn half_of_a_causal_plan_is_skipped() {
    let layout = Layout::packed(&[vec![Piece { length: 64, start: 0, direction: Direction::Causal }]], 64);
    let tiles = Tiles::new(&Pattern::default().visible(), layout.row(0), layout.row(0), 8);
    let count = |fill| tiles.fills.iter().filter(|f| **f == fill).count();
    assert_eq!((count(Fill::Empty), count(Fill::Full), count(Fill::Partial)), (28, 28, 8));
    assert_eq!(tiles.empty(), 28.0 / 64.0);
}

#[test]
fn documents_and_padding_are_skipped() {
    let piece = |length| Piece { length, start: 0, direction: Direction::Bidirectional };
    let layout = Layout::packed(&[vec![piece(8), piece(8)]], 24);
    let tiles = Tiles::new(&Pattern::default().visible(), layout.row(0), layout.row(0), 8);
    use Fill::{Empty, Full};
    // Padding (the last row) has document 0, and is skipped as keys, not as queries.
    assert_eq!(tiles.fills, [Full, Empty, Empty, Empty, Full, Empty, Full, Empty, Empty]);
}
