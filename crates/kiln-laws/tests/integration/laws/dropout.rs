//! Dropout is a function of its key, and off outside training.

use burn::tensor::Tensor;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss, loss_value},
    strategies,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, context::RngKey};
use proptest::prelude::*;

const KEY: RngKey = RngKey { seed: 1, step: 2, micro_batch: 3 };

fn training_loss(model: &Model, rows: &DocumentRows, draws: RngKey) -> f64 {
    let mut cx = Context::training(&rows.layout(), draws, &model.device());
    loss(model, rows, &mut cx).into_data().iter::<f64>().sum()
}

fn keys() -> [RngKey; 3] {
    [RngKey { seed: 9, ..KEY }, RngKey { step: 9, ..KEY }, RngKey { micro_batch: 9, ..KEY }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Of decoders: what pools may look at one token alone, of which few numbers are dropped by chance.
    #[test]
    fn it_depends_on_its_key_alone(config in strategies::decoder(), document in proptest::collection::vec(0u32..11, 6..12)) {
        let model = Model::init(&ModelConfig { dropout: 0.3, ..config.clone() }, 4, &device());
        let rows = DocumentRows::packed(&[document], strategies::direction(&config), 0);
        let one = training_loss(&model, &rows, KEY);
        prop_assert_eq!(one, training_loss(&model, &rows, KEY));
        for key in keys() {
            prop_assert_ne!(one, training_loss(&model, &rows, key));
        }
    }

    #[test]
    fn without_an_rng_key_it_is_off(config in strategies::model(), documents in strategies::documents()) {
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), 1);
        let [off, on] = [0.0, 0.5].map(|dropout| {
            loss_value(&Model::init(&ModelConfig { dropout, ..config.clone() }, 4, &device()), &rows)
        });
        prop_assert_eq!(off, on);
        // Depth rules act while training, too.
        let never = Model::init(&ModelConfig { dropout: 0.0, ..strategies::without_depth_rules(&config) }, 4, &device());
        // Training may take another kernel: equal to rounding in f32.
        prop_assert!((training_loss(&never, &rows, KEY) - loss_value(&never, &rows)).abs() < 1e-3);
    }
}

#[test]
fn factors_are_0_or_the_inverse_keep_probability() {
    let layout = kiln_spec::Layout::from_offsets(&[0], &[1], 1, Default::default());
    let mut cx = Context::training(&layout, KEY, &device());
    let factors = |cx: &Context, leaf: &str| -> Vec<f32> {
        let dropout = cx.dropout_at(leaf, 0.25).expect("a call that trains");
        dropout.apply(Tensor::<2>::ones([100, 100], &device())).into_data().iter::<f32>().collect()
    };
    let one = factors(&cx, "out");
    assert!(one.iter().all(|f| *f == 0.0 || *f == 1.0 / 0.75));
    let dropped = one.iter().filter(|f| **f == 0.0).count() as f64 / 1e4;
    assert!((dropped - 0.25).abs() < 0.02, "{dropped}");
    assert_ne!(one, factors(&cx, "weights"));
    assert_ne!(one, cx.scope("blocks.1", |cx| factors(cx, "out")));
    assert!(Context::new(&layout, &device()).dropout_at("out", 0.25).is_none());
}
