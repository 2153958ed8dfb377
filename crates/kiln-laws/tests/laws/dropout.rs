//! Dropout is a function of its key, and off unless a call trains.

use kiln_laws::{
    configs, device,
    loss::{Rows, loss, loss_value},
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Cx, cx::Draws};
use proptest::prelude::*;

const KEY: Draws = Draws { seed: 1, step: 2, part: 3 };

fn training(model: &Model, rows: &Rows, draws: Draws) -> f64 {
    let mut cx = Cx::training(&rows.layout(), draws, &model.device());
    loss(model, rows, &mut cx).into_data().iter::<f64>().sum()
}

fn keys() -> [Draws; 3] {
    [Draws { seed: 9, ..KEY }, Draws { step: 9, ..KEY }, Draws { part: 9, ..KEY }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Of decoders: what pools may look at one token alone, of which few numbers are dropped by chance.
    #[test]
    fn it_depends_on_its_key_alone(config in configs::decoder(), document in proptest::collection::vec(0u32..11, 6..12)) {
        let model = Model::init(&ModelConfig { dropout: 0.3, ..config.clone() }, 4, &device());
        let rows = Rows::packed(&[document], configs::direction(&config), 0);
        let one = training(&model, &rows, KEY);
        prop_assert_eq!(one, training(&model, &rows, KEY));
        for key in keys() {
            prop_assert_ne!(one, training(&model, &rows, key));
        }
    }

    #[test]
    fn without_draws_it_is_off(config in configs::model(), documents in configs::documents()) {
        let rows = Rows::packed(&documents, configs::direction(&config), 1);
        let [off, on] = [0.0, 0.5].map(|dropout| {
            loss_value(&Model::init(&ModelConfig { dropout, ..config.clone() }, 4, &device()), &rows)
        });
        prop_assert_eq!(off, on);
        // Depth rules act while training, too.
        let never = Model::init(&ModelConfig { dropout: 0.0, ..configs::dense(&config) }, 4, &device());
        // Training may take another kernel: equal to rounding in f32.
        prop_assert!((training(&never, &rows, KEY) - loss_value(&never, &rows)).abs() < 1e-3);
    }
}

#[test]
fn factors_are_0_or_the_inverse_of_what_is_kept() {
    let layout = kiln_spec::Layout::continued(&[0], &[1], 1, Default::default());
    let mut cx = Cx::training(&layout, KEY, &device());
    let factors = |cx: &Cx, leaf: &str| -> Vec<f32> {
        let factors = cx.dropout_factors::<2>(leaf, 0.25, [100, 100]).expect("a call that trains");
        factors.into_data().iter::<f32>().collect()
    };
    let one = factors(&cx, "out");
    assert!(one.iter().all(|f| *f == 0.0 || *f == 1.0 / 0.75));
    let dropped = one.iter().filter(|f| **f == 0.0).count() as f64 / 1e4;
    assert!((dropped - 0.25).abs() < 0.02, "{dropped}");
    assert_ne!(one, factors(&cx, "weights"));
    assert_ne!(one, cx.scope("blocks.1", |cx| factors(cx, "out")));
    assert!(Cx::new(&layout, &device()).dropout_factors::<1>("out", 0.25, [4]).is_none());
}
