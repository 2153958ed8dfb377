//! Fused kernels against their references, gradients included, over odd shapes and strided views.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kiln_kernels::{
    adamw, attention,
    attention::{
        AttentionCall, AttentionOutput, BlockMask, Buckets, DenseMask, DistanceBias, Score, ScoreBias, Sigmoid, Slopes,
        Softmax, block_mask::TILE_SIZE,
    },
    cross_entropy, dropout, gated_linear, gelu, grouped_linear, layer_norm, log_sigmoid, rms_norm,
    rotary::{self, RotaryPairing},
    short_convolution, silu_gate,
    testing::max_abs_diff,
};
use kiln_spec::{
    Direction, Pattern, Random, TokenMark,
    plan::{TilePlan, dense_mask},
};
use proptest::prelude::*;
use std::sync::Arc;

fn random_leaf<const D: usize>(random: &mut Random, shape: [usize; D], scale: f64) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.normal() * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn random_tensor<const D: usize>(random: &mut Random, shape: [usize; D]) -> Tensor<D> {
    random_leaf(random, shape, 1.0).inner()
}

/// Largest difference of the values and of each leaf's gradient between two ways to compute the same.
fn max_difference<const D: usize, const E: usize>(
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
    g.iter().zip(&h).map(|(g, h)| max_abs_diff(g, h)).fold(max_abs_diff(&y, &z), f64::max)
}

/// Marks of a row's queries and of its keys.
type QueryKeyMarks = (Vec<TokenMark>, Vec<TokenMark>);

/// Queries and keys of rows with documents, prefixes and padding; the queries are the last of the keys.
fn marks(random: &mut Random, [b, t, s]: [usize; 3]) -> Vec<QueryKeyMarks> {
    let mut row = || {
        let mut keys: Vec<TokenMark> = Vec::new();
        while keys.len() < s {
            let direction = [Direction::Causal, Direction::Bidirectional, Direction::Prefix(3)][random.uniform_int(3)];
            let (length, document) =
                (1 + random.uniform_int(2 * s), keys.last().map_or(0, |mark| mark.document as usize + 1));
            let live = random.uniform_int(6) > 0;
            keys.extend((0..length).map(|i| TokenMark { valid: live, ..TokenMark::new(i, document, direction) }));
        }
        keys.truncate(s);
        (keys[s.saturating_sub(t)..].to_vec(), keys)
    };
    (0..b).map(|_| row()).collect()
}

/// Both readings of a pattern over these marks, or the dense one alone.
fn block_mask(pattern: &Pattern, rows: &[QueryKeyMarks], known: bool) -> BlockMask {
    let (formula, device) = (pattern.visibility_formula(), Device::flex());
    let (b, t, s) = (rows.len(), rows[0].0.len(), rows[0].1.len());
    let hidden: Vec<bool> = rows.iter().flat_map(|(q, k)| dense_mask(&formula, q, k)).map(|sees| !sees).collect();
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [b, 1, t, s]), &device);
    let sighted = mask.clone().bool_not().int().max_dim(3).float();
    let positions = |side: fn(&QueryKeyMarks) -> &[TokenMark], width| {
        let values: Vec<i32> = rows.iter().flat_map(|row| side(row).iter().map(|mark| mark.position)).collect();
        Tensor::<2, Int>::from_data(TensorData::new(values, [b, width]), &device)
    };
    let mut sight = BlockMask::from_dense(DenseMask { mask, has_visible_key: Some(sighted) });
    sight.positions = Some([positions(|row| &row.0, t), positions(|row| &row.1, s)]);
    if !known {
        return sight;
    }
    let rows = rows.to_vec();
    sight.with_tiles(move || rows.iter().map(|(q, k)| TilePlan::new(&formula, q, k, TILE_SIZE)).collect())
}

/// Everything a call may be, besides its tensors.
#[derive(Clone, Debug)]
struct CallOptions {
    bias_kind: Option<BiasKind>,
    /// Softmax with an optional softcap, or sigmoid with an optional bias.
    score: Arc<dyn Score>,
    needs_log_sum_exp: bool,
    is_strided: bool,
}

/// Kinds of biases.
#[derive(Clone, Debug, PartialEq)]
enum BiasKind {
    Slopes,
    Buckets(Buckets),
}

impl BiasKind {
    fn with_table(&self, table: Tensor<2>) -> Arc<dyn ScoreBias> {
        match self {
            Self::Slopes => Arc::new(DistanceBias { table, function: Slopes }),
            Self::Buckets(buckets) => Arc::new(DistanceBias { table, function: buckets.clone() }),
        }
    }
}

fn score() -> impl Strategy<Value = Arc<dyn Score>> {
    let softmax = proptest::option::of(1.0..4.0f64)
        .prop_map(|softcap| Arc::new(Softmax { softcap, ..Softmax::default() }) as Arc<dyn Score>);
    let sigmoid = proptest::option::of(-2.0..2.0f64).prop_map(|bias| Arc::new(Sigmoid { bias }) as Arc<dyn Score>);
    prop_oneof![2 => softmax, 1 => sigmoid]
}

fn call_options() -> impl Strategy<Value = CallOptions> {
    let buckets = BiasKind::Buckets(Buckets(Arc::new((0..41).map(|d: u32| d % 7).collect())));
    let by = prop_oneof![Just(None), Just(Some(BiasKind::Slopes)), Just(Some(buckets))];
    (by, score(), any::<bool>(), any::<bool>()).prop_map(|(by, score, log_sum, strided)| CallOptions {
        bias_kind: by,
        needs_log_sum_exp: log_sum && score.is_softmax(),
        score,
        is_strided: strided,
    })
}

/// `sides`: query, key, value, and the bias's table `[1, 1, 7, H]`.
fn call(sides: &[Tensor<4>], sight: &BlockMask, kind: &CallOptions) -> AttentionCall {
    // As projections leave them: `[B, T, H, D]` in memory.
    let view = |x: &Tensor<4>| if kind.is_strided { x.clone().swap_dims(1, 2) } else { x.clone() };
    let with_table = |kind: &BiasKind| kind.with_table(sides[3].clone().squeeze_dims(&[0, 1]));
    AttentionCall {
        query: view(&sides[0]),
        key: view(&sides[1]),
        value: view(&sides[2]),
        block_mask: sight.clone(),
        bias: kind.bias_kind.as_ref().map(with_table),
        scale: 0.37,
        score: kind.score.clone(),
        dropout: None,
        needs_log_sum_exp: kind.needs_log_sum_exp,
    }
}

/// The output, with the log-sum-exp behind it; of a query that sees nothing it is −∞ in both, here 0.
fn with_log_sum_exp(output: AttentionOutput, sight: &BlockMask, kind: &CallOptions) -> Tensor<4> {
    let Some(log_sum) = output.log_sum_exp else { return output.out };
    assert!(kind.needs_log_sum_exp);
    let blind = sight
        .dense()
        .has_visible_key
        .clone()
        .expect("given")
        .equal_elem(0)
        .expand(log_sum.clone().unsqueeze_dim::<4>(3).dims());
    Tensor::cat(vec![output.out, log_sum.unsqueeze_dim::<4>(3).mask_fill(blind, 0.0)], 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn attention_is_its_reference(
        seed in 0u64..1000, (b, g, r) in (1usize..3, 1usize..3, 1usize..4), t in 1usize..150, past in 0usize..100,
        (d, e) in (1usize..20, 1usize..20), window in proptest::option::of((0u32..90, 0u32..90)), known in any::<bool>(),
        kind in call_options(),
    ) {
        let mut random = Random::new(seed, "attention", 0, 0);
        let (h, s) = (g * r, t + past);
        let pattern = window.map_or(Pattern::default(), |(before, after)| Pattern::window(before, after));
        // Without the host's reading nobody knows where the tokens stand.
        let kind = if known { kind } else { CallOptions { bias_kind: None, ..kind } };
        let sight = block_mask(&pattern, &marks(&mut random, [b, t, s]), known);
        let shape = |n: usize, t: usize, d: usize| if kind.is_strided { [b, t, n, d] } else { [b, n, t, d] };
        let slopes = kind.bias_kind == Some(BiasKind::Slopes);
        let mut leaves = vec![
            random_leaf(&mut random, shape(h, t, d), 1.0), random_leaf(&mut random, shape(g, s, d), 1.0), random_leaf(&mut random, shape(g, s, e), 1.0),
        ];
        if kind.bias_kind.is_some() {
            leaves.push(random_leaf(&mut random, [1, 1, if slopes { 1 } else { 7 }, h], if slopes { 0.1 } else { 1.0 }));
        }
        let cotangent = random_tensor(&mut random, [b, h, t, e + usize::from(kind.needs_log_sum_exp)]);
        let apart = max_difference(
            &leaves, cotangent,
            |sides| with_log_sum_exp(attention::fused::attend(call(sides, &sight, &kind)), &sight, &kind),
            |sides| with_log_sum_exp(attention::reference::attend(call(sides, &sight, &kind), None), &sight, &kind),
        );
        // A slope's gradient sums distances up to 250 over all pairs.
        let most = if slopes { 2e-1 } else { 1e-3 };
        prop_assert!(apart < most, "{apart}");
    }

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

    /// To the bit, gradients included: the mask is drawn again in the backward pass.
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

    /// To rounding: Burn splits small products by row of the batch.
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

    /// Taps of any row, and none.
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

    /// Groups without rows, of one row and of more than a block.
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

/// The sum over rows must not depend on threads: the same bits with one and with many.
#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut random = Random::new(7, "threads", 0, 0);
            let (x, w) = (random_leaf(&mut random, [8, 300, 64], 1.0), random_leaf(&mut random, [64], 1.0));
            let y = rms_norm::fused::rms_norm(x.clone(), w.clone(), 1e-6);
            let weight = random_leaf(&mut random, [1, 64], 1.0);
            let taps = Tensor::<3, Int>::zeros([8, 300, 1], &Device::flex());
            let filter = short_convolution::Filter { weight: weight.clone(), bias: None, silu: true };
            let y = short_convolution::fused::short_convolution(y.clone(), taps, filter) + y;
            let experts = random_leaf(&mut random, [3, 64, 64], 1.0);
            let group = Tensor::<1, Int>::arange(0..2400, &Device::flex()) % 3;
            let y = grouped_linear::fused::grouped_linear(y.reshape([2400, 64]), experts.clone(), group)
                .reshape([8, 300, 64]);
            let y = layer_norm::fused::layer_norm(y, w.clone(), Some(w.clone()), 1e-6);
            let y = gelu::fused::gelu(y, Some(w.clone()), gelu::GeluForm::Exact);
            let y = dropout::Dropout::from_stream(Random::new(7, "dropout", 0, 0), 0.3).apply(y);
            let gradients = (y.clone() * y).sum_dim(2).sum_dim(1).sum().backward();
            (
                x.grad(&gradients).expect("a gradient").into_data(),
                w.grad(&gradients).expect("a gradient").into_data(),
                experts.grad(&gradients).expect("a gradient").into_data(),
                weight.grad(&gradients).expect("a gradient").into_data(),
            )
        })
    };
    let first = run(1);
    assert!((2..8).all(|threads| run(threads) == first));
}
