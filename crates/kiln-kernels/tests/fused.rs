//! Every fused kernel gives what its reference gives, gradients included, over odd shapes and strided views.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kiln_kernels::{
    adamw, attention,
    attention::{Call, Hidden, Score},
    cross_entropy, gated, grouped, rms_norm, rotary,
    testing::distance,
};
use kiln_spec::Random;
use proptest::prelude::*;

fn leaf<const D: usize>(random: &mut Random, shape: [usize; D], scale: f64) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.normal() * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn plain<const D: usize>(random: &mut Random, shape: [usize; D]) -> Tensor<D> {
    leaf(random, shape, 1.0).inner()
}

/// Largest difference of the values and of each leaf's gradient between two ways to compute the same.
fn apart<const D: usize, const E: usize>(
    leaves: &[Tensor<D>],
    cotangent: Tensor<E>,
    one: impl Fn(&[Tensor<D>]) -> Tensor<E>,
    other: impl Fn(&[Tensor<D>]) -> Tensor<E>,
) -> f64 {
    let run = |f: &dyn Fn(&[Tensor<D>]) -> Tensor<E>| {
        let y = f(leaves);
        let gradients = (y.clone() * cotangent.clone()).sum().backward();
        let found: Vec<Tensor<D>> = leaves.iter().map(|leaf| leaf.grad(&gradients).expect("a gradient")).collect();
        (y.inner(), found)
    };
    let ((y, g), (z, h)) = (run(&one), run(&other));
    g.iter().zip(&h).map(|(g, h)| distance(g, h)).fold(distance(&y, &z), f64::max)
}

/// Some hide much, some nothing; a query may see nothing at all.
fn mask(random: &mut Random, [b, t, s]: [usize; 3], share: f64) -> Hidden {
    let bits: Vec<bool> = (0..b * t * s).map(|_| random.uniform() < share).collect();
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(bits, [b, 1, t, s]), &Device::flex());
    let sighted = mask.clone().bool_not().int().max_dim(3).float();
    Hidden { mask, sighted: Some(sighted), causal: false }
}

fn call(qkv: &[Tensor<4>], hidden: &Hidden, strided: bool) -> Call {
    // As projections leave them: `[B, T, H, D]` in memory.
    let view = |x: &Tensor<4>| if strided { x.clone().swap_dims(1, 2) } else { x.clone() };
    let scale = 0.37;
    let (query, key, value) = (view(&qkv[0]), view(&qkv[1]), view(&qkv[2]));
    Call { query, key, value, hidden: hidden.clone(), scale, score: Score::default(), dropout: None, log_sum: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_is_its_reference(
        seed in 0u64..1000, b in 1usize..3, g in 1usize..3, r in 1usize..4, t in 1usize..150, s in 1usize..150,
        d in 1usize..20, e in 1usize..20, share in 0.0..1.0f64, strided in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "attention", 0, 0);
        let hidden = mask(&mut random, [b, t, s], share);
        let h = g * r;
        let shape = |n: usize, t: usize, d: usize| if strided { [b, t, n, d] } else { [b, n, t, d] };
        let qkv = [
            leaf(&mut random, shape(h, t, d), 1.0), leaf(&mut random, shape(g, s, d), 1.0), leaf(&mut random, shape(g, s, e), 1.0),
        ];
        let cotangent = plain(&mut random, [b, h, t, e]);
        let apart = apart(
            &qkv, cotangent,
            |qkv| attention::fused::attend(call(qkv, &hidden, strided)).out,
            |qkv| attention::reference::attend(call(qkv, &hidden, strided), None).out,
        );
        prop_assert!(apart < 2e-4, "{apart}");
    }

    #[test]
    fn cross_entropy_is_its_reference(seed in 0u64..1000, n in 1usize..40, v in 1usize..300, scale in 0.1..60.0f64) {
        let mut random = Random::new(seed, "cross entropy", 0, 0);
        let logits = [leaf(&mut random, [n, v], scale)];
        let targets: Vec<i32> = (0..n).map(|_| random.below(v) as i32).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n]), &Device::flex());
        let cotangent = plain(&mut random, [n]);
        let apart = apart(
            &logits, cotangent,
            |x| cross_entropy::fused::cross_entropy(x[0].clone(), targets.clone()),
            |x| cross_entropy::reference::cross_entropy(x[0].clone(), targets.clone()),
        );
        prop_assert!(apart < 1e-4 * scale.max(1.0), "{apart}");
    }

    #[test]
    fn rms_norm_is_its_reference(seed in 0u64..1000, b in 1usize..4, t in 1usize..40, m in 1usize..70) {
        let mut random = Random::new(seed, "rms", 0, 0);
        let (x, weight) = (leaf(&mut random, [b, t, m], 1.0), leaf(&mut random, [1, 1, m], 1.0));
        let cotangent = plain(&mut random, [b, t, m]);
        let flat = |w: &Tensor<3>| w.clone().reshape([m]);
        let apart = apart(
            &[x, weight], cotangent,
            |x| rms_norm::fused::rms_norm(x[0].clone(), flat(&x[1]), 1e-3),
            |x| rms_norm::reference::rms_norm(x[0].clone(), flat(&x[1]), 1e-3),
        );
        prop_assert!(apart < 1e-4, "{apart}");
    }

    #[test]
    fn gate_is_its_reference(seed in 0u64..1000, t in 1usize..60, m in 1usize..70, scale in 0.1..30.0f64) {
        let mut random = Random::new(seed, "gate", 0, 0);
        let leaves = [leaf(&mut random, [2, t, m], scale), leaf(&mut random, [2, t, m], 1.0)];
        let cotangent = plain(&mut random, [2, t, m]);
        let apart = apart(
            &leaves, cotangent,
            |x| gated::fused::silu_gate(x[0].clone(), x[1].clone()),
            |x| gated::reference::silu_gate(x[0].clone(), x[1].clone()),
        );
        prop_assert!(apart < 1e-5 * scale.max(1.0), "{apart}");
    }

    /// Groups without rows, of one row and of more than a block.
    #[test]
    fn grouped_products_are_their_reference(
        seed in 0u64..1000, r in 1usize..400, groups in 1usize..6, used in 1usize..6, from in 1usize..150, to in 1usize..40,
    ) {
        let mut random = Random::new(seed, "grouped", 0, 0);
        let leaves = [leaf(&mut random, [1, r, from], 1.0), leaf(&mut random, [groups, from, to], 1.0)];
        let group: Vec<i32> = (0..r).map(|_| random.below(used.min(groups)) as i32).collect();
        let group = Tensor::<1, Int>::from_data(TensorData::new(group, [r]), &Device::flex());
        let cotangent = plain(&mut random, [r, to]);
        let apart = apart(
            &leaves, cotangent,
            |x| grouped::fused::grouped_linear(x[0].clone().squeeze_dim(0), x[1].clone(), group.clone()),
            |x| grouped::reference::grouped_linear(x[0].clone().squeeze_dim(0), x[1].clone(), group.clone()),
        );
        prop_assert!(apart < 1e-4, "{apart}");
    }

    #[test]
    fn rotation_is_its_reference(seed in 0u64..1000, h in 1usize..4, t in 1usize..40, half in 1usize..20, one in any::<bool>()) {
        let mut random = Random::new(seed, "rotary", 0, 0);
        let x = [leaf(&mut random, [2, h, t, 2 * half], 1.0)];
        let angles = plain(&mut random, [if one { 1 } else { 2 }, 1, t, half]);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let cotangent = plain(&mut random, [2, h, t, 2 * half]);
        let apart = apart(
            &x, cotangent,
            |x| rotary::fused::rotate_half(x[0].clone(), cos.clone(), sin.clone()),
            |x| rotary::reference::rotate_half(x[0].clone(), cos.clone(), sin.clone()),
        );
        prop_assert!(apart < 1e-5, "{apart}");
    }

    #[test]
    fn adamw_is_its_reference(seed in 0u64..1000, n in 1usize..40_000, time in 1u64..1000, decay in 0.0..0.5f64) {
        let mut random = Random::new(seed, "adamw", 0, 0);
        let by = adamw::AdamW { rate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay, time };
        let [w, g, m] = [(); 3].map(|()| plain(&mut random, [n]));
        let v = plain(&mut random, [n]).square();
        let fused = adamw::fused::adamw(&by, w.clone(), g.clone(), m.clone(), v.clone());
        let reference = adamw::reference::adamw(&by, w, g, m, v);
        let distances = [distance(&fused.0, &reference.0), distance(&fused.1, &reference.1), distance(&fused.2, &reference.2)];
        prop_assert!(distances.iter().all(|d| *d < 1e-5), "{distances:?}");
    }
}

/// The sum over rows must not depend on threads: the same bits with one and with many.
#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut random = Random::new(7, "threads", 0, 0);
            let (x, w) = (leaf(&mut random, [8, 300, 64], 1.0), leaf(&mut random, [64], 1.0));
            let y = rms_norm::fused::rms_norm(x.clone(), w.clone(), 1e-6);
            let experts = leaf(&mut random, [3, 64, 64], 1.0);
            let group = Tensor::<1, Int>::arange(0..2400, &Device::flex()) % 3;
            let y = grouped::fused::grouped_linear(y.reshape([2400, 64]), experts.clone(), group).reshape([8, 300, 64]);
            let gradients = (y.clone() * y).sum_dim(2).sum_dim(1).sum().backward();
            (
                x.grad(&gradients).expect("a gradient").into_data(),
                w.grad(&gradients).expect("a gradient").into_data(),
                experts.grad(&gradients).expect("a gradient").into_data(),
            )
        })
    };
    let first = run(1);
    assert!((2..6).all(|threads| run(threads) == first));
}
