//! The device reads a formula as the host does, and a stream joins it as the dense table says.

use kiln_laws::{device, layouts};
use kiln_nn::{
    Cx,
    cx::{Keys, Marks, evaluate},
};
use kiln_spec::{Formula, Layout, Pattern, plan::Keep};
use proptest::{collection::vec, prelude::*};

fn on_device(formula: &Formula, queries: &Layout, keys: &Layout) -> Vec<bool> {
    let (queries, keys) = (Marks::new(queries, &device()), Marks::new(keys, &device()));
    evaluate(formula, &queries, &keys).into_data().iter::<bool>().collect()
}

fn on_host(formula: &Formula, queries: &Layout, keys: &Layout) -> Vec<bool> {
    (0..queries.rows()).flat_map(|row| kiln_spec::plan::dense(formula, queries.row(row), keys.row(row))).collect()
}

fn marks(rows: usize) -> impl Strategy<Value = Layout> {
    (1usize..6)
        .prop_flat_map(move |width| vec(layouts::mark(), rows * width).prop_map(move |m| Layout::from_marks(m, width)))
        .prop_map(|layout| layout.expect("whole rows"))
}

proptest! {
    #[test]
    fn of_any_formula_and_marks(formula in layouts::formula(), queries in marks(2), keys in marks(2)) {
        prop_assert_eq!(on_device(&formula, &queries, &keys), on_host(&formula, &queries, &keys));
    }

    #[test]
    fn of_any_pattern_and_layout(pattern in layouts::pattern(), layout in layouts::layout()) {
        for formula in [pattern.visible(), pattern.visible_across()] {
            prop_assert_eq!(on_device(&formula, &layout, &layout), on_host(&formula, &layout, &layout));
        }
    }

    #[test]
    fn a_stream_hides_what_is_not_seen(pattern in layouts::pattern(), layout in layouts::layout()) {
        let mut cx = Cx::new(&layout, &device());
        let sight = cx.sight(&pattern, Keys::Own(Keep::of(&pattern)));
        let hidden = sight.dense().clone();
        let seen = on_host(&pattern.visible(), &layout, &layout);
        let mask: Vec<bool> = hidden.mask.into_data().iter::<bool>().collect();
        prop_assert_eq!(mask, seen.iter().map(|sees| !sees).collect::<Vec<_>>());
        let sighted: Vec<bool> = seen.chunks(layout.width()).map(|row| row.contains(&true)).collect();
        match hidden.sighted {
            Some(given) => prop_assert!(given.into_data().iter::<f32>().eq(sighted.iter().map(|s| f32::from(u8::from(*s))))),
            None => prop_assert!(sighted.iter().all(|s| *s)),
        }
        if sight.causal {
            let width = layout.width();
            prop_assert!(seen.iter().enumerate().all(|(at, sees)| *sees == (at % width <= at / width % width)));
        }
    }
}

#[test]
fn a_window_shifted_by_one_is_noticed() {
    let layout = Layout::continued(&[0], &[9], 9, kiln_spec::Direction::Causal);
    let have = on_device(&Pattern::window(3, 0).visible(), &layout, &layout);
    assert_ne!(have, on_host(&Pattern::window(4, 0).visible(), &layout, &layout));
}
