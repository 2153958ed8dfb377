//! Cache policies against brute force, and properties of layouts.

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

/// Positions that a policy drops from `length` tokens.
fn evicted_range(policy: CachePolicy, length: usize) -> std::ops::Range<usize> {
    let [first, last] = policy.retained_counts(length);
    first..length - last
}

/// Whether no token from position `next` on attends to the key.
fn is_never_visible(pattern: &Pattern, key: usize, next: usize) -> bool {
    (next..next + 24).all(|query| !pattern_allows(pattern, &causal_mark(query), &causal_mark(key)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn dropped_keys_are_visible_to_no_later_token(pattern in pattern(), length in 1usize..30) {
        let policy = CachePolicy::for_pattern(&pattern);
        prop_assert!((1..=length).contains(&policy.retained_len(length)));
        for key in evicted_range(policy, length) {
            prop_assert!(is_never_visible(&pattern, key, length), "{:?} drops {} of {}", policy, key, length);
        }
    }

    /// Applying a policy after every chunk drops the same keys as applying it once.
    #[test]
    fn a_policy_can_be_applied_step_by_step(pattern in pattern(), chunks in vec(1usize..6, 1..8)) {
        let policy = CachePolicy::for_pattern(&pattern);
        let (mut kept, mut length) = (Vec::new(), 0);
        for chunk in chunks {
            kept.extend(length..length + chunk);
            length += chunk;
            let [first, last] = policy.retained_counts(kept.len());
            kept.drain(first..kept.len() - last);
            let gone = evicted_range(policy, length);
            prop_assert!(kept.iter().copied().eq((0..length).filter(|key| !gone.contains(key))));
        }
    }

    /// The policy of a single pattern is minimal: with fewer keys, a visible one would be dropped at some length.
    #[test]
    fn policies_of_single_patterns_are_minimal(pattern in single_pattern()) {
        let missed = |fewer: CachePolicy| (1usize..40).any(|length| {
            evicted_range(fewer, length).any(|key| !is_never_visible(&pattern, key, length))
        });
        let has_no_summaries = matches!(&pattern, Pattern::Fixed(f) if f.summaries == 0);
        match CachePolicy::for_pattern(&pattern) {
            CachePolicy::All => prop_assert!(has_no_summaries || missed(CachePolicy::first_and_last(5, 15))),
            // The newest key is kept too, although the next token reaches back one position less.
            CachePolicy::Last(n) => prop_assert!(n < 3 || missed(CachePolicy::Last(n - 2))),
            CachePolicy::FirstAndLast { first, last } => prop_assert!(missed(CachePolicy::first_and_last(first - 1, last))),
        }
    }

    #[test]
    fn an_intersection_needs_one_bounded_member_and_a_union_needs_all(a in pattern(), b in pattern()) {
        let [x, y] = [CachePolicy::for_pattern(&a), CachePolicy::for_pattern(&b)].map(|policy| policy != CachePolicy::All);
        let both = CachePolicy::for_pattern(&Pattern::And(vec![a.clone(), b.clone()]));
        let any = CachePolicy::for_pattern(&Pattern::Or(vec![a.clone(), b.clone()]));
        prop_assert_eq!([both, any].map(|policy| policy != CachePolicy::All), [x || y, x && y]);
        for length in 0..30 {
            let [x, y] = [&a, &b].map(|p| CachePolicy::for_pattern(p).retained_len(length));
            prop_assert!(both.retained_len(length) <= x.min(y) && any.retained_len(length) <= x + y);
        }
    }
}

#[test]
fn a_window_with_attention_sinks_keeps_the_first_and_the_last_keys() {
    let sinks = Pattern::GlobalTokens(GlobalTokens { first: NonZeroU32::MIN.saturating_add(1) });
    let policy = CachePolicy::for_pattern(&Pattern::Or(vec![sinks, Pattern::window(3, 0)]));
    assert_eq!(policy, CachePolicy::FirstAndLast { first: 2, last: 4 });
    assert_eq!([5, 6, 7, 100].map(|length| policy.retained_counts(length)), [[0, 5], [0, 6], [2, 4], [2, 4]]);
}

proptest! {
    #[test]
    fn plain_causal_layouts_have_the_causal_mask(layout in layout()) {
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
    fn full_causal_rows_are_plain_causal(starts in vec(0usize..9, 1..4), width in 1usize..9) {
        let whole = Layout::from_offsets(&starts, &vec![width; starts.len()], width, Direction::Causal);
        prop_assert!(is_plain_causal(&whole));
        let short = Layout::from_offsets(&starts, &vec![width - 1; starts.len()], width, Direction::Causal);
        prop_assert!(!is_plain_causal(&short));
    }

    #[test]
    fn a_layout_contains_its_documents(rows in vec(document_spans(), 1..4), width in 1usize..20) {
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
    fn parts_of_a_document_have_the_marks_of_the_whole(cut in 0usize..12) {
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
    fn marks_that_do_not_fill_rows_are_not_a_layout(marks in vec(mark(), 1..20), width in 0usize..7) {
        let whole = width > 0 && marks.len() % width == 0;
        prop_assert_eq!(Layout::from_marks(marks, width).is_some(), whole);
    }
}
