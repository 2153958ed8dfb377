//! Products with weights: gated, and grouped by expert.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{gated_linear, grouped_linear};
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gated_linear_is_its_parts(seed in 0u64..1000, t in 1usize..60, n in 1usize..70, m in 1usize..70, scale in 0.1..30.0f64) {
        let mut random = Random::new(seed, "gated linear", 0, 0);
        let leaves = [
            random_leaf(&mut random, [2, t, n], scale), random_leaf(&mut random, [2, t, n], 1.0), random_leaf(&mut random, [1, n, m], 1.0),
        ];
        let cotangent = random_tensor(&mut random, [2, t, m]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| gated_linear::fused::gated_linear(x[0].clone(), x[1].clone(), x[2].clone().squeeze_dim(0)),
            |x| gated_linear::reference::gated_linear(x[0].clone(), x[1].clone(), x[2].clone().squeeze_dim(0)),
        );
        prop_assert!(apart < 1e-4 * scale.max(1.0), "{apart}");
    }

    #[test]
    fn grouped_products_are_their_reference(
        seed in 0u64..1000, r in 1usize..400, groups in 1usize..6, used in 1usize..6, from in 1usize..150, to in 1usize..40,
    ) {
        let mut random = Random::new(seed, "grouped", 0, 0);
        let leaves = [random_leaf(&mut random, [1, r, from], 1.0), random_leaf(&mut random, [groups, from, to], 1.0)];
        let group: Vec<i32> = (0..r).map(|_| random.uniform_int(used.min(groups)) as i32).collect();
        let group = Tensor::<1, Int>::from_data(TensorData::new(group, [r]), &Device::flex());
        let cotangent = random_tensor(&mut random, [r, to]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| grouped_linear::fused::grouped_linear(x[0].clone().squeeze_dim(0), x[1].clone(), group.clone()),
            |x| grouped_linear::reference::grouped_linear(x[0].clone().squeeze_dim(0), x[1].clone(), group.clone()),
        );
        prop_assert!(apart < 1e-4, "{apart}");
    }
}
