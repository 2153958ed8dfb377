//! What is dropped, no later token sees; and what is said of layouts.

mod common;

use common::{layout, mark, pattern, pieces};
use kiln_spec::{
    Direction, Layout, Mark, Pattern, Piece,
    plan::{Keep, dense, is_plain_causal},
};
use proptest::{collection::vec, prelude::*};

fn causal(position: usize) -> Mark {
    Mark::new(position, 0, Direction::Causal)
}

/// Whether no token from `next` on sees one of the first `dropped`.
fn nobody_sees(pattern: &Pattern, dropped: usize, next: usize) -> bool {
    (next..next + 12).all(|query| (0..dropped).all(|key| !pattern.sees(&causal(query), &causal(key))))
}

proptest! {
    #[test]
    fn what_is_dropped_no_later_token_sees(pattern in pattern(), length in 1usize..20) {
        let keep = Keep::of(&pattern);
        let kept = keep.count(length);
        prop_assert!(kept <= length);
        prop_assert!(nobody_sees(&pattern, length - kept, length));
    }

    #[test]
    fn what_is_kept_the_newest_token_sees(pattern in pattern(), length in 1usize..20) {
        let oldest = length - Keep::of(&pattern).count(length);
        prop_assert!(pattern.sees(&causal(length - 1), &causal(oldest)));
        let two_fewer = Keep::of(&pattern).count(length).saturating_sub(2);
        prop_assert!(length - two_fewer <= oldest + 1 || !nobody_sees(&pattern, length - two_fewer, length));
    }

    #[test]
    fn reach_is_how_far_back_a_token_sees(pattern in pattern()) {
        let sees = |back| pattern.formula().holds(&causal(40), &causal(40 - back));
        match pattern.reach() {
            None => prop_assert!((0..=40).all(sees)),
            Some(reach) => prop_assert!((0..=40).all(|back| sees(back) == (back <= reach))),
        }
    }

    #[test]
    fn plain_causal_is_the_causal_table(layout in layout()) {
        let formula = Pattern::default().visible();
        let plain = |row: usize| {
            let (width, marks) = (layout.width(), layout.row(row));
            let table = dense(&formula, marks, marks);
            (0..width * width).all(|at| table[at] == (at % width <= at / width))
        };
        if is_plain_causal(&layout) {
            prop_assert!((0..layout.rows()).all(plain));
        }
    }

    #[test]
    fn whole_causal_rows_are_plain(starts in vec(0usize..9, 1..4), width in 1usize..9) {
        let whole = Layout::continued(&starts, &vec![width; starts.len()], width, Direction::Causal);
        prop_assert!(is_plain_causal(&whole));
        let short = Layout::continued(&starts, &vec![width - 1; starts.len()], width, Direction::Causal);
        prop_assert!(!is_plain_causal(&short));
    }

    #[test]
    fn a_layout_holds_its_documents(rows in vec(pieces(), 1..4), width in 1usize..20) {
        let layout = Layout::packed(&rows, width);
        prop_assert_eq!((layout.rows(), layout.width()), (rows.len(), width));
        for (r, row) in rows.iter().enumerate() {
            let tokens: usize = row.iter().map(|p| p.length).sum();
            let live = layout.row(r).iter().filter(|m| m.live).count();
            prop_assert_eq!(live, tokens.min(width));
            prop_assert!(layout.row(r)[live..].iter().all(|m| *m == Mark::default()));
            let places = row.iter().enumerate().flat_map(|(d, p)| (p.start..p.start + p.length).map(move |i| (d, i)));
            let marks = layout.row(r)[..live].iter().map(|m| (m.document as usize, m.position as usize));
            prop_assert!(marks.eq(places.take(width)));
            let alone = layout.select(r..r + 1);
            prop_assert_eq!(alone.marks(), layout.row(r));
        }
        prop_assert_eq!(Layout::from_marks(layout.marks().to_vec(), width), Some(layout));
    }

    #[test]
    fn continued_rows_are_pieces_of_the_whole(cut in 0usize..12) {
        let whole = |direction| Layout::packed(&[vec![Piece { length: 12, start: 0, direction }]], 12);
        for direction in [Direction::Causal, Direction::Bidirectional, Direction::Prefix(5), Direction::Reversed] {
            let parts = [(0, cut), (cut, 12 - cut)];
            let marks = parts.map(|(start, length)| Layout::continued(&[start], &[length], length, direction));
            let joined: Vec<Mark> = marks.iter().flat_map(|part| part.marks().to_vec()).collect();
            prop_assert_eq!(joined, whole(direction).marks().to_vec());
        }
    }
}

proptest! {
    #[test]
    fn marks_that_fill_no_rows_are_no_layout(marks in vec(mark(), 1..20), width in 0usize..7) {
        let whole = width > 0 && marks.len() % width == 0;
        prop_assert_eq!(Layout::from_marks(marks, width).is_some(), whole);
    }
}
