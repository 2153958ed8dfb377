//! Operations along the sequence: rotary positions and short convolutions.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{
    rotary::{self, RotaryPairing},
    short_convolution,
};
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn short_convolution_is_its_reference(
        seed in 0u64..1000, b in 1usize..3, s in 1usize..30, t in 1usize..60, w in 1usize..6, n in 1usize..40,
        bias in any::<bool>(), silu in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "short convolution", 0, 0);
        let mut leaves = vec![random_leaf(&mut random, [b, s, n], 1.0), random_leaf(&mut random, [1, w, n], 1.0)];
        if bias {
            leaves.push(random_leaf(&mut random, [1, 1, n], 1.0));
        }
        let taps: Vec<i32> = (0..b * t * w).map(|_| random.uniform_int(s + 1) as i32 - 1).collect();
        let taps = Tensor::<3, Int>::from_data(TensorData::new(taps, [b, t, w]), &Device::flex());
        let cotangent = random_tensor(&mut random, [b, t, n]);
        let filter = |x: &[Tensor<3>]| short_convolution::Filter {
            weight: x[1].clone().squeeze_dim(0), bias: bias.then(|| x[2].clone().reshape([n])), silu,
        };
        let apart = max_difference(
            &leaves, cotangent,
            |x| short_convolution::fused::short_convolution(x[0].clone(), taps.clone(), filter(x)),
            |x| short_convolution::reference::short_convolution(x[0].clone(), taps.clone(), filter(x)),
        );
        prop_assert!(apart < 1e-4, "{apart}");
    }

    #[test]
    fn rotation_is_its_reference(
        seed in 0u64..1000, h in 1usize..4, t in 1usize..40, half in 1usize..20, rest in 0usize..9, one in any::<bool>(),
        interleaved in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "rotary", 0, 0);
        let x = [random_leaf(&mut random, [2, h, t, 2 * half + rest], 1.0)];
        let angles = random_tensor(&mut random, [if one { 1 } else { 2 }, 1, t, half]);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let cotangent = random_tensor(&mut random, [2, h, t, 2 * half + rest]);
        let pairs = if interleaved { RotaryPairing::Interleaved } else { RotaryPairing::Half };
        let apart = max_difference(
            &x, cotangent,
            |x| rotary::fused::apply_rotary(x[0].clone(), cos.clone(), sin.clone(), pairs),
            |x| rotary::reference::apply_rotary(x[0].clone(), cos.clone(), sin.clone(), pairs),
        );
        prop_assert!(apart < 1e-5, "{apart}");
    }
}
