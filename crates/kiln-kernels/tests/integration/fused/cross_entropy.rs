//! Cross-entropy of logits.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::cross_entropy;
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn cross_entropy_is_its_reference(seed in 0u64..1000, n in 1usize..40, v in 1usize..300, scale in 0.1..60.0f64) {
        let mut random = Random::new(seed, "cross entropy", 0, 0);
        let logits = [random_leaf(&mut random, [n, v], scale)];
        let targets: Vec<i32> = (0..n).map(|_| random.uniform_int(v) as i32).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n]), &Device::flex());
        let cotangent = random_tensor(&mut random, [n]);
        let apart = max_difference(
            &logits, cotangent,
            |x| cross_entropy::fused::cross_entropy(x[0].clone(), targets.clone()),
            |x| cross_entropy::reference::cross_entropy(x[0].clone(), targets.clone()),
        );
        prop_assert!(apart < 1e-4 * scale.max(1.0), "{apart}");
    }
}
