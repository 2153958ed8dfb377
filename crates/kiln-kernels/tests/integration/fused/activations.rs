//! Activations and gates, and dropout.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::Tensor;
use kiln_kernels::{dropout, gelu, log_sigmoid, silu_gate};
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gelu_is_its_reference(
        seed in 0u64..1000, t in 1usize..60, m in 1usize..70, scale in 0.1..30.0f64, has_bias in any::<bool>(),
        tanh in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "gelu", 0, 0);
        let form = if tanh { gelu::GeluForm::Tanh } else { gelu::GeluForm::Exact };
        let mut leaves = vec![random_leaf(&mut random, [2, t, m], scale)];
        leaves.extend(has_bias.then(|| random_leaf(&mut random, [1, 1, m], scale)));
        let cotangent = random_tensor(&mut random, [2, t, m]);
        let flat = |b: &Tensor<3>| b.clone().reshape([m]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| gelu::fused::gelu(x[0].clone(), x.get(1).map(flat), form),
            |x| gelu::reference::gelu(x[0].clone(), x.get(1).map(flat), form),
        );
        // The bias's gradient is a sum over 2 t rows.
        let rounding = if has_bias { 1e-4 } else { 1e-5 };
        prop_assert!(apart < rounding * scale.max(1.0), "{apart}");
    }

    #[test]
    fn dropout_is_its_reference(seed in 0u64..1000, t in 1usize..70, m in 1usize..700, rate in 0.0..0.99f64) {
        let mut random = Random::new(seed, "values", 0, 0);
        let leaves = [random_leaf(&mut random, [t, m], 1.0)];
        let cotangent = random_tensor(&mut random, [t, m]);
        let dropout = dropout::Dropout::from_stream(Random::new(seed, "dropout", 1, 2), rate);
        let apart = max_difference(
            &leaves, cotangent,
            |x| dropout::fused::dropout(x[0].clone(), &dropout),
            |x| dropout::reference::dropout(x[0].clone(), &dropout),
        );
        prop_assert_eq!(apart, 0.0);
    }

    #[test]
    fn gate_is_its_reference(seed in 0u64..1000, t in 1usize..60, m in 1usize..70, scale in 0.1..30.0f64) {
        let mut random = Random::new(seed, "gate", 0, 0);
        let leaves = [random_leaf(&mut random, [2, t, m], scale), random_leaf(&mut random, [2, t, m], 1.0)];
        let cotangent = random_tensor(&mut random, [2, t, m]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| silu_gate::fused::silu_gate(x[0].clone(), x[1].clone()),
            |x| silu_gate::reference::silu_gate(x[0].clone(), x[1].clone()),
        );
        prop_assert!(apart < 1e-5 * scale.max(1.0), "{apart}");
    }

    #[test]
    fn log_sigmoid_is_its_reference(seed in 0u64..1000, t in 1usize..60, m in 1usize..70, scale in 0.1..30.0f64) {
        let mut random = Random::new(seed, "log sigmoid", 0, 0);
        let leaves = [random_leaf(&mut random, [2, t, m], scale)];
        let cotangent = random_tensor(&mut random, [2, t, m]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| log_sigmoid::fused::log_sigmoid(x[0].clone()),
            |x| log_sigmoid::reference::log_sigmoid(x[0].clone()),
        );
        prop_assert!(apart < 1e-6 * (4.0 * scale).max(1.0), "{apart}");
    }
}
