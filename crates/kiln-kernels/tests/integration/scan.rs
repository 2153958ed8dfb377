//! The forms of the scan give the same values, states and gradients: for decays of each dimension and of each head, the
//! additive and the delta rule, groups, padding, resets, lengths that are no multiple of the chunk, and gates that forget
//! nearly everything.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::{
    scan::{ScanInputs, ScanOutput, UpdateRule, chunked, fused, parallel, recurrent, scan},
    testing::{max_abs_diff, to_f64_vec},
};
use kiln_spec::Random;
use proptest::prelude::*;

fn random_leaf<const D: usize>(random: &mut Random, shape: [usize; D], dtype: DType) -> Tensor<D> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), dtype)).require_grad()
}

/// What a scan is, besides its numbers.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Decay of each key dimension, else one a head.
    wide_decay: bool,
    rule: UpdateRule,
    has_strength: bool,
    has_skip: bool,
    /// Heads that share queries and keys.
    shared: usize,
    /// Standard deviation of log decays to the fourth power.
    forget: f64,
}

const GLA: Kind =
    Kind { wide_decay: true, rule: UpdateRule::Additive, has_strength: false, has_skip: false, shared: 1, forget: 1.0 };
const MAMBA: Kind =
    Kind { wide_decay: false, rule: UpdateRule::Additive, has_strength: true, has_skip: true, shared: 2, forget: 1.0 };
const DELTA: Kind =
    Kind { wide_decay: false, rule: UpdateRule::Delta, has_strength: true, has_skip: false, shared: 1, forget: 1.0 };

fn kind() -> impl Strategy<Value = Kind> {
    let rule = prop_oneof![Just(UpdateRule::Additive), Just(UpdateRule::Delta)];
    let forget = prop_oneof![Just(0.0), Just(0.01), Just(1.0), Just(100.0)];
    (any::<bool>(), rule, any::<bool>(), any::<bool>(), 1usize..3, forget).prop_map(
        |(wide_decay, rule, has_strength, has_skip, shared, forget)| Kind {
            wide_decay,
            rule,
            has_strength,
            has_skip,
            shared,
            forget,
        },
    )
}

/// Leaves of a random scan: query, key, value, log decay, strength, skip, state; resets and valid tokens.
struct Leaves {
    kind: Kind,
    tensors: [Tensor<4>; 7],
    resets: Tensor<2>,
    live: Tensor<2>,
}

impl Leaves {
    /// `[B, H, T, D, E]`, H before sharing.
    fn random(seed: u64, [b, g, t, d, e]: [usize; 5], kind: Kind, dtype: DType) -> Self {
        let mut random = Random::new(seed, "scan", 0, 0);
        let (h, w) = (g * kind.shared, if kind.wide_decay { d } else { 1 });
        let device = Device::flex();
        let leaf = |values: Vec<f64>, shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values, shape), (&device.clone().autodiff(), dtype)).require_grad()
        };
        let decay = (0..b * h * t * w).map(|_| -kind.forget * random.normal().powi(4)).collect();
        let strength = (0..b * h * t).map(|_| random.uniform()).collect();
        let flags = |random: &mut Random, rate| {
            let values: Vec<f64> = (0..b * t).map(|_| f64::from(u8::from(random.uniform() < rate))).collect();
            Tensor::<2>::from_data(TensorData::new(values, [b, t]), (&device, dtype))
        };
        let live = flags(&mut random, 0.9);
        let resets = flags(&mut random, 0.1) * live.clone();
        let mut normal = |shape| random_leaf::<4>(&mut random, shape, dtype);
        // Keys of the delta rule are at most of length 1: longer ones would make the state grow with every token.
        let key = normal([b, g, t, d]);
        let length = key.clone().square().sum_dim(3).sqrt() + 1.0;
        let key = (key / length).inner().autodiff().require_grad();
        let tensors = [
            normal([b, g, t, d]),
            key,
            normal([b, h, t, e]),
            leaf(decay, [b, h, t, w]),
            leaf(strength, [b, h, t, 1]),
            normal([1, 1, 1, h]),
            normal([b, h, d, e]),
        ];
        Self { kind, tensors, resets, live }
    }

    fn inputs(&self, has_state: bool) -> ScanInputs {
        let [query, key, value, log_decay, strength, skip, state] = self.tensors.clone();
        let heads = value.dims()[1];
        // As projections leave them: `[B, T, H, ·]` in memory.
        let view = |x: Tensor<4>| x.swap_dims(1, 2).mul_scalar(1.0).swap_dims(1, 2);
        ScanInputs {
            query: view(query),
            key: view(key),
            value: view(value),
            log_decay: view(log_decay),
            strength: self.kind.has_strength.then_some(strength),
            rule: self.kind.rule,
            skip: self.kind.has_skip.then(|| skip.reshape([heads])),
            resets: self.resets.clone(),
            live: self.live.clone(),
            state: has_state.then_some(state),
        }
    }

    /// The tensors in another precision.
    fn cast(&self, dtype: DType) -> Self {
        Self {
            kind: self.kind,
            tensors: self.tensors.clone().map(|x| x.inner().cast(dtype).autodiff().require_grad()),
            resets: self.resets.clone().cast(dtype),
            live: self.live.clone().cast(dtype),
        }
    }
}

/// Values, state and gradients of a form.
fn outputs_and_gradients(form: fn(ScanInputs) -> ScanOutput, leaves: &Leaves, has_state: bool) -> Vec<Tensor<4>> {
    let ScanOutput { out, state } = form(leaves.inputs(has_state));
    let mut random = Random::new(9, "cotangent", 0, 0);
    let mut weighted = |x: &Tensor<4>| (x.clone() * random_leaf(&mut random, x.dims(), x.dtype()).detach()).sum();
    let loss = state.iter().fold(weighted(&out), |loss, state| loss + weighted(state));
    let gradients = loss.backward();
    let found = leaves.tensors.iter().filter_map(|leaf| leaf.grad(&gradients));
    [Some(out.inner()), state.map(Tensor::inner)].into_iter().flatten().chain(found).collect()
}

fn max_difference(one: &[Tensor<4>], other: &[Tensor<4>]) -> f64 {
    assert_eq!(one.len(), other.len(), "the same gradients");
    one.iter().zip(other).map(|(a, b)| max_abs_diff(a, b)).fold(0.0, f64::max)
}

/// Largest difference to the oracle as a share of its greatest value, over values, states and gradients.
fn relative_difference(found: &[Tensor<4>], oracle: &[Tensor<4>]) -> f64 {
    assert_eq!(found.len(), oracle.len(), "the same gradients");
    let pairs = found.iter().zip(oracle).map(|(found, want)| {
        let most = to_f64_vec(want).into_iter().fold(1.0, |most: f64, x| most.max(x.abs()));
        max_abs_diff(&found.clone().cast(DType::F64), want) / most
    });
    pairs.fold(0.0, |most, x| if x.is_nan() { f64::NAN } else { most.max(x) })
}

/// Sums of some hundred products in f64.
const EXACT: f64 = 1e-9;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn three_forms_are_one(
        seed in 0u64..1000, b in 1usize..3, h in 1usize..3, t in 1usize..150, d in 1usize..6, e in 1usize..6, kind in kind(),
        has_state in any::<bool>(),
    ) {
        let leaves = Leaves::random(seed, [b, h, t, d, e], kind, DType::F64);
        let oracle = outputs_and_gradients(recurrent::scan, &leaves, has_state);
        for form in [parallel::scan, chunked::scan, scan] {
            let apart = max_difference(&oracle, &outputs_and_gradients(form, &leaves, has_state));
            prop_assert!(apart <= EXACT, "{apart:e}");
        }
    }

    /// In 32 bits against the equation in 64: a share of the greatest number of each kind. Decays are sums over a chunk,
    /// up to some thousands: there, 32 bits know an exponent to 3e-4 or so.
    #[test]
    fn in_32_bits_too(seed in 0u64..1000, t in 1usize..200, shape in (1usize..3, 1usize..20, 1usize..20), kind in kind()) {
        let exact = Leaves::random(seed, [shape.0, 2, t, shape.1, shape.2], kind, DType::F64);
        let oracle = outputs_and_gradients(recurrent::scan, &exact, false);
        let rough = exact.cast(DType::F32);
        for (name, form) in [
            ("recurrent", recurrent::scan as fn(ScanInputs) -> ScanOutput),
            ("parallel", parallel::scan),
            ("chunked", chunked::scan),
            ("fused", fused::scan),
        ] {
            let apart = relative_difference(&outputs_and_gradients(form, &rough, false), &oracle);
            prop_assert!(apart < if kind.forget > 1.0 { 5e-3 } else { 1e-3 }, "{name}: {apart:e}");
        }
    }

    /// A scan continues where another ended.
    #[test]
    fn two_halves_are_the_whole(seed in 0u64..1000, t in 2usize..100, at in 1usize..99, kind in kind()) {
        let at = at.min(t - 1);
        for (dtype, bound) in [(DType::F64, EXACT), (DType::F32, 1e-3)] {
            let leaves = Leaves::random(seed, [2, 1, t, 3, 2], kind, dtype);
            let inner = |x: &Tensor<4>| x.clone().inner();
            let all = leaves.inputs(true);
            let cut = |from: usize, count: usize, state: Tensor<4>| {
                let of = |x: &Tensor<4>| inner(x).narrow(2, from, count);
                scan(ScanInputs {
                    query: of(&all.query), key: of(&all.key), value: of(&all.value), log_decay: of(&all.log_decay),
                    strength: all.strength.as_ref().map(of), rule: all.rule, skip: all.skip.clone().map(Tensor::inner),
                    resets: leaves.resets.clone().narrow(1, from, count), live: leaves.live.clone().narrow(1, from, count),
                    state: Some(state),
                })
            };
            let whole = cut(0, t, inner(&leaves.tensors[6]));
            let first = cut(0, at, inner(&leaves.tensors[6]));
            let second = cut(at, t - at, first.state.expect("a state"));
            let out = Tensor::cat(vec![first.out, second.out], 2);
            let states = [whole.state, second.state].map(|state| state.expect("a state"));
            let most = to_f64_vec(&whole.out).into_iter().chain(to_f64_vec(&states[0])).fold(1.0, |m: f64, x| m.max(x.abs()));
            prop_assert!(max_abs_diff(&whole.out, &out) <= bound * most);
            prop_assert!(max_abs_diff(&states[0], &states[1]) <= bound * most);
        }
    }
}

/// Finite differences of the fused form's loss in each kind of input: a second source of its gradients.
#[test]
fn gradients_equal_finite_differences() {
    for kind in [GLA, MAMBA, DELTA] {
        let exact = Leaves::random(5, [1, 1, 9, 3, 2], kind, DType::F64);
        let gradients = outputs_and_gradients(fused::scan, &exact.cast(DType::F32), false);
        let loss = |leaves: &Leaves| {
            let out = recurrent::scan(leaves.inputs(false)).out.inner();
            let mut random = Random::new(9, "cotangent", 0, 0);
            let weights = random_leaf::<4>(&mut random, out.dims(), DType::F64).inner();
            (out * weights).sum().into_scalar::<f64>()
        };
        let used = (0..6).filter(|i| (*i != 4 || kind.has_strength) && (*i != 5 || kind.has_skip));
        for (gradient, leaf) in gradients[1..].iter().zip(used) {
            let (values, shape) = (to_f64_vec(&exact.tensors[leaf]), exact.tensors[leaf].dims());
            for (element, found) in to_f64_vec(gradient).into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[element] += by;
                    let device = (&Device::flex().autodiff(), DType::F64);
                    let mut tensors = exact.tensors.clone();
                    tensors[leaf] = Tensor::from_data(TensorData::new(values, shape), device);
                    let (resets, live) = (exact.resets.clone(), exact.live.clone());
                    loss(&Leaves { kind, tensors, resets, live })
                };
                let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                assert!(
                    (slope - found).abs() < 1e-4 * (1.0 + slope.abs()),
                    "{kind:?} {leaf} {element}: {slope} {found}"
                );
            }
        }
    }
}

/// One thread and several give the same bits.
#[test]
fn threads_change_no_bit() {
    for kind in [GLA, MAMBA, DELTA] {
        let leaves = Leaves::random(3, [3, 2, 200, 16, 8], kind, DType::F32);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let found = outputs_and_gradients(fused::scan, &leaves, false);
                found.into_iter().map(Tensor::into_data).collect::<Vec<_>>()
            })
        };
        let first = run(1);
        assert!((2..5).all(|threads| run(threads) == first), "{kind:?}");
    }
}
