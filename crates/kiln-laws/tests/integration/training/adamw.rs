//! AdamW against PyTorch's values and against the equation in f64.

use burn::tensor::{Tensor, TensorData};
use kiln_kernels::{
    adamw::{AdamWOutput, AdamWParams as By, fused, reference},
    testing::to_f64_vec,
};
use kiln_laws::{device, fixture::Fixture};
use kiln_train::optimizer::{AdamW, Optimizer, OptimizerConfig, ParamUpdate};

/// Tolerance of weights: the distance of PyTorch's f32 results from its f64 ones.
const TOLERANCE: f64 = 2e-6;

/// Tolerance of moments, relative to the largest value that they average.
const MOMENT_TOLERANCE: f64 = 5e-7;

struct Setting {
    name: &'static str,
    beta2: f64,
    decay: f64,
}

const SETTINGS: [Setting; 2] =
    [Setting { name: "beta95", beta2: 0.95, decay: 0.1 }, Setting { name: "beta999", beta2: 0.999, decay: 0.01 }];

/// Weights, first and second moments, flattened.
type WeightAndMoments = [Vec<f64>; 3];

/// An update: step, learning rate, whether weight decay applies, weight, gradient, and the moments before.
type UpdateFn<'a> = &'a mut dyn FnMut(u64, f64, bool, Tensor<1>, Tensor<1>, Tensor<1>, Tensor<1>) -> AdamWOutput;

fn flat_tensor(values: &[f64]) -> Tensor<1> {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &device())
}

/// Runs updates with the gradients of the fixture, and calls back at the steps whose results it holds.
fn replay_fixture(set: &Setting, parameter: &str, updates: UpdateFn, mut seen: impl FnMut(u64, WeightAndMoments)) {
    let file = Fixture::open("adamw");
    let (_, rates) = file.values("lr");
    let (_, start) = file.values(&format!("{parameter}.initial"));
    let (_, gradients) = file.values(&format!("{parameter}.gradients"));
    let (mut w, mut m, mut v) =
        (flat_tensor(&start), flat_tensor(&start).zeros_like(), flat_tensor(&start).zeros_like());
    for (step, (rate, gradient)) in rates.iter().zip(gradients.chunks(start.len())).enumerate() {
        let time = step as u64 + 1;
        (w, m, v) = updates(time, *rate, parameter == "matrix" && set.decay > 0.0, w, flat_tensor(gradient), m, v);
        if [1, 10, 50].contains(&time) {
            seen(time, [to_f64_vec(&w), to_f64_vec(&m), to_f64_vec(&v)]);
        }
    }
}

/// Largest |g| and g² of each element up to step `time`.
fn max_gradient_sizes(parameter: &str, time: u64) -> [Vec<f64>; 2] {
    let file = Fixture::open("adamw");
    let length = file.values(&format!("{parameter}.initial")).1.len();
    let (_, gradients) = file.values(&format!("{parameter}.gradients"));
    let most = |i: usize| gradients.chunks(length).take(time as usize).fold(0.0, |most: f64, g| most.max(g[i].abs()));
    let most: Vec<f64> = (0..length).map(most).collect();
    [most.clone(), most.iter().map(|g| g * g).collect()]
}

#[track_caller]
fn check(set: &Setting, parameter: &str, time: u64, found: &WeightAndMoments) {
    let file = Fixture::open("adamw");
    let wanted = |what: &str| file.values(&format!("{}.{parameter}.{what}.{time}", set.name)).1;
    let place = format!("{} {parameter} after {time}", set.name);
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    let far = apart(&found[0], &wanted("after"));
    assert!(far <= TOLERANCE, "{place}: weights {far:e}");
    for ((found, wanted), size) in
        found[1..].iter().zip(["first_moment", "second_moment"].map(wanted)).zip(max_gradient_sizes(parameter, time))
    {
        for ((found, wanted), size) in found.iter().zip(wanted).zip(size) {
            assert!((found - wanted).abs() <= MOMENT_TOLERANCE * size, "{place}: {found:e} {wanted:e} {size:e}");
        }
    }
}

fn update_params(set: &Setting, time: u64, rate: f64, decays: bool) -> By {
    By {
        learning_rate: rate,
        beta1: 0.9,
        beta2: set.beta2,
        eps: 1e-8,
        weight_decay: if decays { set.decay } else { 0.0 },
        step: time,
    }
}

#[test]
fn both_kernels_equal_pytorch() {
    for kernel in [fused::adamw, reference::adamw] {
        for set in &SETTINGS {
            for parameter in ["matrix", "vector"] {
                let mut update =
                    |time, rate, decays, w, g, m, v| kernel(&update_params(set, time, rate, decays), w, g, m, v);
                replay_fixture(set, parameter, &mut update, |time, found| check(set, parameter, time, &found));
            }
        }
    }
}

#[test]
fn the_optimizer_equals_pytorch() {
    for set in &SETTINGS {
        let rule = AdamW { beta2: set.beta2, weight_decay: set.decay, ..AdamW::default() };
        let mut optimizer = Optimizer::new(&OptimizerConfig::AdamW(rule));
        // The matrix decays and the vector doesn't, because of their names.
        for (parameter, name) in [("matrix", "blocks.0.attention.q.weight"), ("vector", "blocks.0.attention.q.bias")] {
            let mut update = |_, rate, _, w: Tensor<1>, g, _, _| {
                let w = optimizer.update(&ParamUpdate { name, shape: &w.dims(), learning_rate: rate }, w, g);
                let kept = &optimizer.states[name];
                (w, kept.slots[0].clone(), kept.slots[1].clone())
            };
            replay_fixture(set, parameter, &mut update, |time, found| check(set, parameter, time, &found));
            assert_eq!(optimizer.states[name].step, 50);
        }
    }
}

/// The AdamW equation in f64 (1711.05101).
fn reference_update(by: &By, [w, m, v]: [f64; 3], g: f64) -> [f64; 3] {
    let (m, v) = (by.beta1 * m + (1.0 - by.beta1) * g, by.beta2 * v + (1.0 - by.beta2) * g * g);
    let corrected = |mean: f64, beta: f64| mean / (1.0 - beta.powf(by.step as f64));
    let step = corrected(m, by.beta1) / (corrected(v, by.beta2).sqrt() + by.eps);
    [w * (1.0 - by.learning_rate * by.weight_decay) - by.learning_rate * step, m, v]
}

/// Over many steps too. The rest is the rounding of β₂ and of 1 − ηλ to f32, the same in each step, as in PyTorch.
#[test]
fn both_kernels_follow_the_equation() {
    let gradient = |t: u64, i: usize| f64::from(((t as f64 * 0.7 + i as f64).sin() * [1e-7, 1.0, 1e4][i % 3]) as f32);
    for kernel in [fused::adamw, reference::adamw] {
        let mut exactly = vec![[1.0, 0.0, 0.0]; 40];
        let (mut w, mut m, mut v) = (flat_tensor(&[1.0; 40]), flat_tensor(&[0.0; 40]), flat_tensor(&[0.0; 40]));
        for time in 1..=400 {
            let by = By { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step: time };
            let g: Vec<f64> = (0..40).map(|i| gradient(time, i)).collect();
            exactly.iter_mut().zip(&g).for_each(|(at, g)| *at = reference_update(&by, *at, *g));
            (w, m, v) = kernel(&by, w, flat_tensor(&g), m, v);
        }
        let far = to_f64_vec(&w).iter().zip(&exactly).fold(0.0, |most: f64, (w, at)| most.max((w - at[0]).abs()));
        let squares =
            to_f64_vec(&v).iter().zip(&exactly).fold(0.0, |most: f64, (v, at)| most.max((v / at[2] - 1.0).abs()));
        assert!(far < 1e-5 && squares < 6e-6, "{far:e} {squares:e}");
    }
}
