//! AdamW against PyTorch's numbers and against the equation in f64.

use burn::tensor::{Tensor, TensorData};
use kiln_kernels::{
    adamw::{AdamW as By, Updated, fused, reference},
    testing::values,
};
use kiln_laws::{device, fixture::Fixture};
use kiln_train::optimiser::{AdamW, Optimiser, OptimiserConfig, Update};

/// PyTorch computes in 32 bits itself, and is so far from the same in 64.
const TOLERANCE: f64 = 2e-6;

/// Of the running means, as a share of what they are means of.
const MEANS: f64 = 5e-7;

struct Set {
    name: &'static str,
    beta2: f64,
    decay: f64,
}

const SETS: [Set; 2] =
    [Set { name: "beta95", beta2: 0.95, decay: 0.1 }, Set { name: "beta999", beta2: 0.999, decay: 0.01 }];

/// `after`, `first_moment` and `second_moment`, flat.
type Three = [Vec<f64>; 3];

/// What does fifty updates: time, rate, whether the parameter decays, weight, gradient and the means before.
type Updates<'a> = &'a mut dyn FnMut(u64, f64, bool, Tensor<1>, Tensor<1>, Tensor<1>, Tensor<1>) -> Updated;

fn flat(values: &[f64]) -> Tensor<1> {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &device())
}

/// Runs the updates over the fixture's gradients and hands on what is there after the steps that it shows.
fn follow(set: &Set, parameter: &str, updates: Updates, mut seen: impl FnMut(u64, Three)) {
    let file = Fixture::open("adamw");
    let (_, rates) = file.values("lr");
    let (_, start) = file.values(&format!("{parameter}.initial"));
    let (_, gradients) = file.values(&format!("{parameter}.gradients"));
    let (mut w, mut m, mut v) = (flat(&start), flat(&start).zeros_like(), flat(&start).zeros_like());
    for (step, (rate, gradient)) in rates.iter().zip(gradients.chunks(start.len())).enumerate() {
        let time = step as u64 + 1;
        (w, m, v) = updates(time, *rate, parameter == "matrix" && set.decay > 0.0, w, flat(gradient), m, v);
        if [1, 10, 50].contains(&time) {
            seen(time, [values(&w), values(&m), values(&v)]);
        }
    }
}

/// The greatest of |g| and of g² that each number has met by step `time`.
fn sizes(parameter: &str, time: u64) -> [Vec<f64>; 2] {
    let file = Fixture::open("adamw");
    let length = file.values(&format!("{parameter}.initial")).1.len();
    let (_, gradients) = file.values(&format!("{parameter}.gradients"));
    let most = |i: usize| gradients.chunks(length).take(time as usize).fold(0.0, |most: f64, g| most.max(g[i].abs()));
    let most: Vec<f64> = (0..length).map(most).collect();
    [most.clone(), most.iter().map(|g| g * g).collect()]
}

#[track_caller]
fn check(set: &Set, parameter: &str, time: u64, found: &Three) {
    let file = Fixture::open("adamw");
    let wanted = |what: &str| file.values(&format!("{}.{parameter}.{what}.{time}", set.name)).1;
    let place = format!("{} {parameter} after {time}", set.name);
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    let far = apart(&found[0], &wanted("after"));
    assert!(far <= TOLERANCE, "{place}: weights {far:e}");
    for ((found, wanted), size) in
        found[1..].iter().zip(["first_moment", "second_moment"].map(wanted)).zip(sizes(parameter, time))
    {
        for ((found, wanted), size) in found.iter().zip(wanted).zip(size) {
            assert!((found - wanted).abs() <= MEANS * size, "{place}: {found:e} {wanted:e} {size:e}");
        }
    }
}

fn by(set: &Set, time: u64, rate: f64, decays: bool) -> By {
    By { rate, beta1: 0.9, beta2: set.beta2, eps: 1e-8, decay: if decays { set.decay } else { 0.0 }, time }
}

#[test]
fn both_kernels_have_pytorchs_numbers() {
    for kernel in [fused::adamw, reference::adamw] {
        for set in &SETS {
            for parameter in ["matrix", "vector"] {
                let mut update = |time, rate, decays, w, g, m, v| kernel(&by(set, time, rate, decays), w, g, m, v);
                follow(set, parameter, &mut update, |time, found| check(set, parameter, time, &found));
            }
        }
    }
}

#[test]
fn so_has_the_optimiser_by_name() {
    for set in &SETS {
        let rule = AdamW { beta2: set.beta2, decay: set.decay, ..AdamW::default() };
        let mut optimiser = Optimiser::new(&OptimiserConfig::AdamW(rule));
        // The matrix decays and the vector doesn't, because of their names.
        for (parameter, name) in [("matrix", "blocks.0.attention.q.weight"), ("vector", "blocks.0.attention.q.bias")] {
            let mut update = |_, rate, _, w: Tensor<1>, g, _, _| {
                let w = optimiser.update(&Update { name, shape: &w.dims(), rate }, w, g);
                let kept = &optimiser.kept[name];
                (w, kept.slots[0].clone(), kept.slots[1].clone())
            };
            follow(set, parameter, &mut update, |time, found| check(set, parameter, time, &found));
            assert_eq!(optimiser.kept[name].time, 50);
        }
    }
}

/// The equation, in f64.
fn exact(by: &By, [w, m, v]: [f64; 3], g: f64) -> [f64; 3] {
    let (m, v) = (by.beta1 * m + (1.0 - by.beta1) * g, by.beta2 * v + (1.0 - by.beta2) * g * g);
    let corrected = |mean: f64, beta: f64| mean / (1.0 - beta.powf(by.time as f64));
    let step = corrected(m, by.beta1) / (corrected(v, by.beta2).sqrt() + by.eps);
    [w * (1.0 - by.rate * by.decay) - by.rate * step, m, v]
}

/// Over a long run, too. What is left is the rounding of β₂ and of 1 − ηλ, the same in each step: as in PyTorch.
#[test]
fn both_kernels_stay_with_the_equation() {
    let gradient = |t: u64, i: usize| f64::from(((t as f64 * 0.7 + i as f64).sin() * [1e-7, 1.0, 1e4][i % 3]) as f32);
    for kernel in [fused::adamw, reference::adamw] {
        let mut exactly = vec![[1.0, 0.0, 0.0]; 40];
        let (mut w, mut m, mut v) = (flat(&[1.0; 40]), flat(&[0.0; 40]), flat(&[0.0; 40]));
        for time in 1..=400 {
            let by = By { rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.1, time };
            let g: Vec<f64> = (0..40).map(|i| gradient(time, i)).collect();
            exactly.iter_mut().zip(&g).for_each(|(at, g)| *at = exact(&by, *at, *g));
            (w, m, v) = kernel(&by, w, flat(&g), m, v);
        }
        let far = values(&w).iter().zip(&exactly).fold(0.0, |most: f64, (w, at)| most.max((w - at[0]).abs()));
        let squares = values(&v).iter().zip(&exactly).fold(0.0, |most: f64, (v, at)| most.max((v / at[2] - 1.0).abs()));
        assert!(far < 1e-5 && squares < 6e-6, "{far:e} {squares:e}");
    }
}
