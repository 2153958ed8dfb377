//! The update of AdamW.

use super::random_tensor;
use kiln_kernels::{adamw, testing::max_abs_diff};
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn adamw_is_its_reference(seed in 0u64..1000, n in 1usize..40_000, time in 1u64..1000, decay in 0.0..0.5f64) {
        let mut random = Random::new(seed, "adamw", 0, 0);
        let by = adamw::AdamWParams { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: decay, step: time };
        let [w, g, m] = [(); 3].map(|()| random_tensor(&mut random, [n]));
        let v = random_tensor(&mut random, [n]).square();
        let fused = adamw::fused::adamw(&by, w.clone(), g.clone(), m.clone(), v.clone());
        let reference = adamw::reference::adamw(&by, w, g, m, v);
        let distances = [max_abs_diff(&fused.0, &reference.0), max_abs_diff(&fused.1, &reference.1), max_abs_diff(&fused.2, &reference.2)];
        prop_assert!(distances.iter().all(|d| *d < 1e-5), "{distances:?}");
    }
}

/// Shared tensors keep their values; tensors of one owner are changed in place, which the values can't show.
#[test]
fn adamw_changes_no_tensor_that_is_shared() {
    let mut random = Random::new(1, "adamw", 0, 0);
    let by = adamw::AdamWParams { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let [w, g, m] = [(); 3].map(|()| random_tensor(&mut random, [5000]));
    let v = random_tensor(&mut random, [5000]).square();
    // A part of a larger tensor, whose other elements must stay.
    let whole = random_tensor(&mut random, [7000]);
    let part = whole.clone().narrow(0, 1000, 5000);
    let before = [&w, &g, &m, &v, &whole].map(|tensor| tensor.clone().into_data());
    let shared = adamw::fused::adamw(&by, w.clone(), g.clone(), m.clone(), v.clone());
    let sliced = adamw::fused::adamw(&by, part.clone(), g.clone(), m.clone(), v.clone());
    let reference = adamw::reference::adamw(&by, part, g.clone(), m.clone(), v.clone());
    assert!(max_abs_diff(&sliced.0, &reference.0) < 1e-5);
    assert_eq!([&w, &g, &m, &v, &whole].map(|tensor| tensor.clone().into_data()), before);
    let owned = adamw::fused::adamw(&by, w, g, m, v);
    assert_eq!(owned.0.into_data(), shared.0.into_data());
    assert_eq!(owned.2.into_data(), shared.2.into_data());
}
