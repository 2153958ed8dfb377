//! The three forms of the scan give the same values, states and gradients, with state resets, over lengths that are no
//! multiple of the chunk, and for gates that forget nearly everything.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::{
    scan::{ScanInputs, ScanOutput, chunked, parallel, recurrent, scan},
    testing::{max_abs_diff, to_f64_vec},
};
use kiln_spec::Random;
use proptest::prelude::*;

fn random_leaf<const D: usize>(random: &mut Random, shape: [usize; D], dtype: DType) -> Tensor<D> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), dtype)).require_grad()
}

/// Query, key, value, log decay and state of a random scan, and where it begins again.
fn random_inputs(seed: u64, [b, h, t, d, e]: [usize; 5], forget: f64, dtype: DType) -> ([Tensor<4>; 5], Tensor<2>) {
    let mut random = Random::new(seed, "scan", 0, 0);
    let decay: Vec<f64> = (0..b * h * t * d).map(|_| -forget * random.normal().powi(4)).collect();
    let decay = Tensor::from_data(TensorData::new(decay, [b, h, t, d]), (&Device::flex().autodiff(), dtype));
    let begins: Vec<f64> = (0..b * t).map(|_| f64::from(u8::from(random.uniform() < 0.1))).collect();
    let begins = Tensor::from_data(TensorData::new(begins, [b, t]), (&Device::flex(), dtype));
    let mut leaf = |width| random_leaf(&mut random, [b, h, t, width], dtype);
    let (query, key, value) = (leaf(d), leaf(d), leaf(e));
    let state = self::random_leaf(&mut random, [b, h, d, e], dtype);
    ([query, key, value, decay.require_grad(), state], begins)
}

fn scan_inputs([query, key, value, log_decay, state]: &[Tensor<4>; 5], begins: &Tensor<2>) -> ScanInputs {
    let [query, key, value, log_decay, state] = [query, key, value, log_decay, state].map(Clone::clone);
    ScanInputs { query, key, value, log_decay, resets: begins.clone(), state }
}

/// Values, state and gradients of a form.
fn outputs_and_gradients(
    form: fn(ScanInputs) -> ScanOutput,
    leaves: &[Tensor<4>; 5],
    begins: &Tensor<2>,
) -> Vec<Tensor<4>> {
    let ScanOutput { out, state } = form(scan_inputs(leaves, begins));
    let mut random = Random::new(9, "cotangent", 0, 0);
    let weighted =
        |x: &Tensor<4>, random: &mut Random| (x.clone() * random_leaf(random, x.dims(), x.dtype()).detach()).sum();
    let loss = weighted(&out, &mut random) + weighted(&state, &mut random);
    let gradients = loss.backward();
    let found = leaves.iter().map(|leaf| leaf.grad(&gradients).expect("a gradient"));
    [out.inner(), state.inner()].into_iter().chain(found).collect()
}

fn max_difference(one: &[Tensor<4>], other: &[Tensor<4>]) -> f64 {
    one.iter().zip(other).map(|(a, b)| max_abs_diff(a, b)).fold(0.0, f64::max)
}

/// Sums of some hundred products in f64.
const EXACT: f64 = 1e-10;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn three_forms_are_one(
        seed in 0u64..1000, b in 1usize..3, h in 1usize..3, t in 1usize..150, d in 1usize..6, e in 1usize..6,
        forget in prop_oneof![Just(0.0), Just(0.01), Just(1.0), Just(100.0)],
    ) {
        let (leaves, begins) = random_inputs(seed, [b, h, t, d, e], forget, DType::F64);
        let oracle = outputs_and_gradients(recurrent::scan, &leaves, &begins);
        for form in [parallel::scan, chunked::scan, scan] {
            let apart = max_difference(&oracle, &outputs_and_gradients(form, &leaves, &begins));
            prop_assert!(apart <= EXACT, "{apart:e}");
        }
    }

    /// In 32 bits against the equation in 64: a share of the greatest number of each kind. Decays are sums over a chunk,
    /// up to some thousands: there, 32 bits know an exponent to 3e-4 or so.
    #[test]
    fn in_32_bits_too(seed in 0u64..1000, t in 1usize..200, forget in prop_oneof![Just(0.01), Just(1.0), Just(30.0)]) {
        let shape = [1, 2, t, 5, 4];
        let (exact, begins) = random_inputs(seed, shape, forget, DType::F64);
        let oracle = outputs_and_gradients(recurrent::scan, &exact, &begins);
        let (rough, begins) = random_inputs(seed, shape, forget, DType::F32);
        for form in [recurrent::scan, parallel::scan, chunked::scan] {
            for (found, want) in outputs_and_gradients(form, &rough, &begins).iter().zip(&oracle) {
                let most = to_f64_vec(want).into_iter().fold(1.0, |most: f64, x| most.max(x.abs()));
                let apart = max_abs_diff(&found.clone().cast(DType::F64), want) / most;
                prop_assert!(apart < if forget > 1.0 { 5e-3 } else { 1e-3 }, "{apart:e}");
            }
        }
    }

    /// A scan goes on where another ended.
    #[test]
    fn two_halves_are_the_whole(seed in 0u64..1000, t in 2usize..100, at in 1usize..99) {
        let at = at.min(t - 1);
        let (leaves, begins) = random_inputs(seed, [2, 1, t, 3, 2], 1.0, DType::F64);
        let whole = scan(scan_inputs(&leaves, &begins));
        let cut = |from: usize, count: usize, state: Tensor<4>| {
            let of = |x: &Tensor<4>| x.clone().narrow(2, from, count);
            let [query, key, value, log_decay] = [0, 1, 2, 3].map(|i| of(&leaves[i]));
            scan(ScanInputs { query, key, value, log_decay, resets: begins.clone().narrow(1, from, count), state })
        };
        let first = cut(0, at, leaves[4].clone());
        let second = cut(at, t - at, first.state);
        let out = Tensor::cat(vec![first.out, second.out], 2);
        prop_assert!(max_abs_diff(&whole.out.inner(), &out.inner()) <= EXACT);
        prop_assert!(max_abs_diff(&whole.state.inner(), &second.state.inner()) <= EXACT);
    }
}
