//! What is dropped, no later token sees; and what is said of layouts.

use crate::common::{document_spans, layout, mark, pattern, pattern_allows, single_pattern};
use kiln_spec::{
    Direction, DocumentSpan, Layout, Pattern, TokenMark,
    pattern::GlobalTokens,
    plan::{CachePolicy, dense_mask, is_plain_causal},
};
use proptest::{collection::vec, prelude::*};
use std::num::NonZeroU32;

fn causal_mark(position: usize) -> TokenMark {
    TokenMark::new(position, 0, Direction::Causal)
}

/// Positions that a policy drops of `length` tokens.
fn evicted_range(keep: CachePolicy, length: usize) -> std::ops::Range<usize> {
    let [first, last] = keep.retained_counts(length);
    first..length - last
}

/// Whether no token from `next` on sees the key, by the words of the pattern.
fn is_never_visible(pattern: &Pattern, key: usize, next: usize) -> bool {
    (next..next + 24).all(|query| !pattern_allows(pattern, &causal_mark(query), &causal_mark(key)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn what_is_dropped_no_later_token_sees(pattern in pattern(), length in 1usize..30) {
        let keep = CachePolicy::for_pattern(&pattern);
        prop_assert!((1..=length).contains(&keep.retained_len(length)));
        for key in evicted_range(keep, length) {
            prop_assert!(is_never_visible(&pattern, key, length), "{:?} drops {} of {}", keep, key, length);
        }
    }

    /// Step by step a key is dropped once and for all, from wherever the kept ones then stand.
    #[test]
    fn what_is_kept_of_what_was_kept_is_what_is_kept(pattern in pattern(), chunks in vec(1usize..6, 1..8)) {
        let keep = CachePolicy::for_pattern(&pattern);
        let (mut kept, mut length) = (Vec::new(), 0);
        for chunk in chunks {
            kept.extend(length..length + chunk);
            length += chunk;
            let [first, last] = keep.retained_counts(kept.len());
            kept.drain(first..kept.len() - last);
            let gone = evicted_range(keep, length);
            prop_assert!(kept.iter().copied().eq((0..length).filter(|key| !gone.contains(key))));
        }
    }

    /// A pattern alone keeps no more than it needs: one key less would miss one, at the worst place of the sequence.
    #[test]
    fn what_is_kept_is_needed(pattern in single_pattern()) {
        let missed = |fewer: CachePolicy| (1usize..40).any(|length| {
            evicted_range(fewer, length).any(|key| !is_never_visible(&pattern, key, length))
        });
        let none_of_every_stretch = matches!(&pattern, Pattern::Fixed(f) if f.summaries == 0);
        match CachePolicy::for_pattern(&pattern) {
            CachePolicy::All => prop_assert!(none_of_every_stretch || missed(CachePolicy::first_and_last(5, 15))),
            // The newest token is kept too, though the next one needs not look as far back.
            CachePolicy::Last(n) => prop_assert!(n < 3 || missed(CachePolicy::Last(n - 2))),
            CachePolicy::FirstAndLast { first, last } => prop_assert!(missed(CachePolicy::first_and_last(first - 1, last))),
        }
    }

    #[test]
    fn one_bound_is_enough_and_all_are_needed(a in pattern(), b in pattern()) {
        let [x, y] = [CachePolicy::for_pattern(&a), CachePolicy::for_pattern(&b)].map(|keep| keep != CachePolicy::All);
        let both = CachePolicy::for_pattern(&Pattern::And(vec![a.clone(), b.clone()]));
        let any = CachePolicy::for_pattern(&Pattern::Or(vec![a.clone(), b.clone()]));
        prop_assert_eq!([both, any].map(|keep| keep != CachePolicy::All), [x || y, x && y]);
        for length in 0..30 {
            let [x, y] = [&a, &b].map(|p| CachePolicy::for_pattern(p).retained_len(length));
            prop_assert!(both.retained_len(length) <= x.min(y) && any.retained_len(length) <= x + y);
        }
    }
}

#[test]
fn the_first_and_the_newest_are_kept_of_a_window_with_sinks() {
    let sinks = Pattern::GlobalTokens(GlobalTokens { first: NonZeroU32::MIN.saturating_add(1) });
    let keep = CachePolicy::for_pattern(&Pattern::Or(vec![sinks, Pattern::window(3, 0)]));
    assert_eq!(keep, CachePolicy::FirstAndLast { first: 2, last: 4 });
    assert_eq!([5, 6, 7, 100].map(|length| keep.retained_counts(length)), [[0, 5], [0, 6], [2, 4], [2, 4]]);
}

proptest! {
    #[test]
    fn plain_causal_is_the_causal_table(layout in layout()) {
        let formula = Pattern::default().visibility_formula();
        let plain = |row: usize| {
            let (width, marks) = (layout.sequence_length(), layout.row(row));
            let table = dense_mask(&formula, marks, marks);
            (0..width * width).all(|at| table[at] == (at % width <= at / width))
        };
        if is_plain_causal(&layout) {
            prop_assert!((0..layout.batch_size()).all(plain));
        }
    }

    #[test]
    fn whole_causal_rows_are_plain(starts in vec(0usize..9, 1..4), width in 1usize..9) {
        let whole = Layout::from_offsets(&starts, &vec![width; starts.len()], width, Direction::Causal);
        prop_assert!(is_plain_causal(&whole));
        let short = Layout::from_offsets(&starts, &vec![width - 1; starts.len()], width, Direction::Causal);
        prop_assert!(!is_plain_causal(&short));
    }

    #[test]
    fn a_layout_holds_its_documents(rows in vec(document_spans(), 1..4), width in 1usize..20) {
        let layout = Layout::packed(&rows, width);
        prop_assert_eq!((layout.batch_size(), layout.sequence_length()), (rows.len(), width));
        for (r, row) in rows.iter().enumerate() {
            let tokens: usize = row.iter().map(|p| p.length).sum();
            let live = layout.row(r).iter().filter(|m| m.valid).count();
            prop_assert_eq!(live, tokens.min(width));
            prop_assert!(layout.row(r)[live..].iter().all(|m| *m == TokenMark::default()));
            let places = row.iter().enumerate().flat_map(|(d, p)| (p.start..p.start + p.length).map(move |i| (d, i)));
            let marks = layout.row(r)[..live].iter().map(|m| (m.document as usize, m.position as usize));
            prop_assert!(marks.eq(places.take(width)));
            let alone = layout.slice_rows(r..r + 1);
            prop_assert_eq!(alone.marks(), layout.row(r));
        }
        prop_assert_eq!(Layout::from_marks(layout.marks().to_vec(), width), Some(layout));
    }

    #[test]
    fn continued_rows_are_pieces_of_the_whole(cut in 0usize..12) {
        let whole = |direction| Layout::packed(&[vec![DocumentSpan { length: 12, start: 0, direction }]], 12);
        for direction in [Direction::Causal, Direction::Bidirectional, Direction::Prefix(5), Direction::Reversed] {
            let parts = [(0, cut), (cut, 12 - cut)];
            let marks = parts.map(|(start, length)| Layout::from_offsets(&[start], &[length], length, direction));
            let joined: Vec<TokenMark> = marks.iter().flat_map(|part| part.marks().to_vec()).collect();
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
