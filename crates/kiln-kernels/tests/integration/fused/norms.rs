//! Norms, and dynamic tanh in their place.

use super::{max_difference, random_leaf, random_tensor};
use burn::tensor::{Device, Tensor};
use kiln_kernels::{dynamic_tanh, gated_rms_norm, layer_norm, rms_norm, silu_gate, testing::to_f64_vec};
use kiln_spec::Random;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rms_norm_is_its_reference(seed in 0u64..1000, b in 1usize..4, t in 1usize..40, m in 1usize..70) {
        let mut random = Random::new(seed, "rms", 0, 0);
        let (x, weight) = (random_leaf(&mut random, [b, t, m], 1.0), random_leaf(&mut random, [1, 1, m], 1.0));
        let cotangent = random_tensor(&mut random, [b, t, m]);
        let flat = |w: &Tensor<3>| w.clone().reshape([m]);
        let apart = max_difference(
            &[x, weight], cotangent,
            |x| rms_norm::fused::rms_norm(x[0].clone(), flat(&x[1]), 1e-3),
            |x| rms_norm::reference::rms_norm(x[0].clone(), flat(&x[1]), 1e-3),
        );
        prop_assert!(apart < 1e-4, "{apart}");
    }

    #[test]
    fn layer_norm_is_its_reference(
        seed in 0u64..1000, b in 1usize..4, t in 1usize..40, m in 1usize..70, mean in -30.0..30.0f64, has_bias in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "layer norm", 0, 0);
        let x = random_leaf(&mut random, [b, t, m], 1.0).inner() + mean;
        let mut leaves = vec![Tensor::from_inner(x).require_grad(), random_leaf(&mut random, [1, 1, m], 1.0)];
        leaves.extend(has_bias.then(|| random_leaf(&mut random, [1, 1, m], 1.0)));
        let cotangent = random_tensor(&mut random, [b, t, m]);
        let flat = |w: &Tensor<3>| w.clone().reshape([m]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| layer_norm::fused::layer_norm(x[0].clone(), flat(&x[1]), x.get(2).map(flat), 1e-3),
            |x| layer_norm::reference::layer_norm(x[0].clone(), flat(&x[1]), x.get(2).map(flat), 1e-3),
        );
        prop_assert!(apart < 1e-4 * mean.abs().max(1.0), "{apart}");
    }

    #[test]
    fn dynamic_tanh_is_its_reference(
        seed in 0u64..1000, b in 1usize..4, t in 1usize..40, m in 1usize..70, scale in 0.1..30.0f64, alpha in -2.0..2.0f32,
        strided in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "dynamic tanh", 0, 0);
        let mut leaves = vec![random_leaf(&mut random, if strided { [t, b, m] } else { [b, t, m] }, scale)];
        leaves.push(Tensor::from_data([[[alpha]]], &Device::flex().autodiff()).require_grad());
        leaves.extend([(); 2].map(|()| random_leaf(&mut random, [1, 1, m], 1.0)));
        let cotangent = random_tensor(&mut random, [b, t, m]);
        let view = |x: &Tensor<3>| if strided { x.clone().swap_dims(0, 1) } else { x.clone() };
        let flat = |w: &Tensor<3>| w.clone().reshape([w.dims()[2]]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| dynamic_tanh::fused::dynamic_tanh(view(&x[0]), flat(&x[1]), flat(&x[2]), flat(&x[3])),
            |x| dynamic_tanh::reference::dynamic_tanh(view(&x[0]), flat(&x[1]), flat(&x[2]), flat(&x[3])),
        );
        // The gradient of α sums up to 8,190 products with x.
        prop_assert!(apart < 1e-4 * scale.max(1.0), "{apart}");
    }

    #[test]
    fn dynamic_tanh_has_the_gradients_of_its_formula(
        seed in 0u64..1000, t in 1usize..6, m in 1usize..20, alpha in -2.0..2.0f32,
    ) {
        let mut random = Random::new(seed, "dynamic tanh", 0, 0);
        let leaves = [(); 3].map(|()| random_leaf(&mut random, [1, 1, m], 1.0));
        let x = random_leaf(&mut random, [1, t, m], 1.0);
        let a = Tensor::<1>::from_data([alpha], &Device::flex().autodiff()).require_grad();
        let [w, b, cotangent] = leaves.each_ref().map(|leaf| leaf.clone().reshape([m]));
        let y = dynamic_tanh::fused::dynamic_tanh(x.clone(), a.clone(), w, b);
        let gradients = (y * cotangent.clone().detach().unsqueeze()).sum().backward();
        let values = |tensor: &Tensor<3>| to_f64_vec(&tensor.clone().inner());
        let [w, b] = [&leaves[0], &leaves[1]].map(values);
        let (x64, c, start) = (values(&x), to_f64_vec(&cotangent.inner()), f64::from(alpha));
        // The inputs one after the other: x, α, w, b.
        let inputs: Vec<f64> = x64.iter().copied().chain([start]).chain(w).chain(b).collect();
        let loss = |v: &[f64]| -> f64 {
            let (n, m) = (t * m, m);
            (0..n).map(|i| c[i % m] * (v[n + 1 + i % m] * (v[n] * v[i]).tanh() + v[n + 1 + m + i % m])).sum()
        };
        let mut found = to_f64_vec(&x.grad(&gradients).expect("a gradient"));
        found.extend(to_f64_vec(&a.grad(&gradients).expect("a gradient")));
        found.extend(leaves[..2].iter().flat_map(|leaf| to_f64_vec(&leaf.grad(&gradients).expect("a gradient"))));
        for (i, found) in found.into_iter().enumerate() {
            let at = |step: f64| {
                let mut moved = inputs.clone();
                moved[i] += step;
                loss(&moved)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            prop_assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{i}: {found} {expected}");
        }
    }

    #[test]
    fn gated_rms_norm_is_its_reference(
        seed in 0u64..1000, b in 1usize..4, t in 1usize..40, parts in 1usize..5, width in 1usize..30, strided in any::<bool>(),
    ) {
        let (mut random, n) = (Random::new(seed, "gated rms", 0, 0), parts * width);
        let shape = if strided { [t, b, n] } else { [b, t, n] };
        let leaves = [
            random_leaf(&mut random, shape, 1.0), random_leaf(&mut random, shape, 2.0), random_leaf(&mut random, [1, 1, n], 1.0),
        ];
        let view = |x: &Tensor<3>| if strided { x.clone().swap_dims(0, 1) } else { x.clone() };
        let cotangent = random_tensor(&mut random, [b, t, n]);
        let flat = |w: &Tensor<3>| w.clone().reshape([n]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| gated_rms_norm::fused::gated_rms_norm(view(&x[0]), view(&x[1]), flat(&x[2]), parts, 1e-3),
            |x| gated_rms_norm::reference::gated_rms_norm(view(&x[0]), view(&x[1]), flat(&x[2]), parts, 1e-3),
        );
        // Small products are divided by their own length: ∂p is up to 1/√ε times the gradient of y.
        prop_assert!(apart < 1e-4, "{apart}");
    }

    #[test]
    fn gated_rms_norm_is_gate_and_norm(seed in 0u64..1000, t in 1usize..300, n in 1usize..130) {
        let mut random = Random::new(seed, "gated rms", 0, 0);
        let leaves = [
            random_leaf(&mut random, [2, t, n], 1.0), random_leaf(&mut random, [2, t, n], 2.0), random_leaf(&mut random, [1, 1, n], 1.0),
        ];
        let cotangent = random_tensor(&mut random, [2, t, n]);
        let flat = |w: &Tensor<3>| w.clone().reshape([n]);
        let apart = max_difference(
            &leaves, cotangent,
            |x| gated_rms_norm::fused::gated_rms_norm(x[0].clone(), x[1].clone(), flat(&x[2]), 1, 1e-5),
            |x| rms_norm::fused::rms_norm(silu_gate::fused::silu_gate(x[1].clone(), x[0].clone()), flat(&x[2]), 1e-5),
        );
        prop_assert_eq!(apart, 0.0);
    }
}
