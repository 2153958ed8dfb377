//! Models in f32 against f64: the two use different kernels and differ by rounding only.

use kiln_laws::{
    device,
    loss::{DocumentRows, loss_gradients, loss_value},
    parameters::{relative_difference, to_f64},
    strategies,
};
use kiln_models::Model;
use proptest::prelude::*;

/// f32 has 6e-8; small differences of large numbers lose three digits of it. Norms bend gently here: where one of
/// nearly equal numbers divides by almost nothing, no digit is left.
const ROUNDING: f64 = 2e-4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn f32_equals_f64_to_rounding(config in strategies::model(), documents in strategies::documents(), padding in 0usize..3) {
        let config = strategies::with_soft_norms(&config);
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), padding);
        let single = Model::init(&config, 8, &device().autodiff());
        let double = to_f64(single.clone());
        let [a, b] = [&single, &double].map(|model| loss_value(model, &rows));
        prop_assert!((a - b).abs() <= ROUNDING * (1.0 + b.abs()), "{} {}", a, b);
        let difference = relative_difference(&loss_gradients(&double, &rows), &loss_gradients(&single, &rows));
        prop_assert!(difference <= ROUNDING, "{}", difference);
        let plain = Model::init(&config, 8, &device());
        prop_assert!((loss_value(&plain, &rows) - b).abs() <= ROUNDING * (1.0 + b.abs()));
    }
}
