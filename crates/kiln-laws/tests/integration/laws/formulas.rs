//! Mask formulas: the device evaluates them like the host, and a stream gives the dense mask.

use kiln_laws::{device, layouts};
use kiln_nn::{
    Context,
    context::{KeySource, TokenMarks, evaluate_formula},
};
use kiln_spec::{Formula, Layout, Pattern, plan::CachePolicy};
use proptest::{collection::vec, prelude::*};

fn evaluate_on_device(formula: &Formula, queries: &Layout, keys: &Layout) -> Vec<bool> {
    let (queries, keys) = (TokenMarks::new(queries, &device()), TokenMarks::new(keys, &device()));
    evaluate_formula(formula, &queries, &keys).into_data().iter::<bool>().collect()
}

fn evaluate_on_host(formula: &Formula, queries: &Layout, keys: &Layout) -> Vec<bool> {
    (0..queries.batch_size())
        .flat_map(|row| kiln_spec::plan::dense_mask(formula, queries.row(row), keys.row(row)))
        .collect()
}

fn random_layout(rows: usize) -> impl Strategy<Value = Layout> {
    (1usize..6)
        .prop_flat_map(move |width| vec(layouts::mark(), rows * width).prop_map(move |m| Layout::from_marks(m, width)))
        .prop_map(|layout| layout.expect("whole rows"))
}

proptest! {
    #[test]
    fn the_device_evaluates_any_formula_like_the_host(formula in layouts::formula(), queries in random_layout(2), keys in random_layout(2)) {
        prop_assert_eq!(evaluate_on_device(&formula, &queries, &keys), evaluate_on_host(&formula, &queries, &keys));
    }

    #[test]
    fn the_device_evaluates_any_pattern_like_the_host(pattern in layouts::pattern(), layout in layouts::layout()) {
        for formula in [pattern.visibility_formula(), pattern.cross_visibility_formula()] {
            prop_assert_eq!(evaluate_on_device(&formula, &layout, &layout), evaluate_on_host(&formula, &layout, &layout));
        }
    }

    #[test]
    fn the_dense_mask_hides_what_the_formula_hides(pattern in layouts::pattern(), layout in layouts::layout()) {
        let mut cx = Context::new(&layout, &device());
        let sight = cx.block_mask(&pattern, KeySource::OwnStream(CachePolicy::for_pattern(&pattern)));
        let hidden = sight.dense().clone();
        let seen = evaluate_on_host(&pattern.visibility_formula(), &layout, &layout);
        let mask: Vec<bool> = hidden.mask.into_data().iter::<bool>().collect();
        prop_assert_eq!(mask, seen.iter().map(|sees| !sees).collect::<Vec<_>>());
        let sighted: Vec<bool> = seen.chunks(layout.sequence_length()).map(|row| row.contains(&true)).collect();
        match hidden.has_visible_key {
            Some(given) => prop_assert!(given.into_data().iter::<f32>().eq(sighted.iter().map(|s| f32::from(u8::from(*s))))),
            None => prop_assert!(sighted.iter().all(|s| *s)),
        }
        if sight.is_causal {
            let width = layout.sequence_length();
            prop_assert!(seen.iter().enumerate().all(|(at, sees)| *sees == (at % width <= at / width % width)));
        }
    }
}

#[test]
fn a_window_shifted_by_one_is_detected() {
    let layout = Layout::from_offsets(&[0], &[9], 9, kiln_spec::Direction::Causal);
    let have = evaluate_on_device(&Pattern::window(3, 0).visibility_formula(), &layout, &layout);
    assert_ne!(have, evaluate_on_host(&Pattern::window(4, 0).visibility_formula(), &layout, &layout));
}
