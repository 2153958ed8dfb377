//! What each method computes at a linear layer, against loops over its numbers.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_laws::{device, max_abs_diff};
use kiln_models::parameters::map_module_params;
use kiln_nn::{
    Initializer,
    adapter::{
        AdaLoraConfig, AdapterMap, AdapterOptions, AdapterSpec, AttachedAdapter, Ia3Spec, LoraConfig, VeraConfig,
    },
    linear::Linear,
};
use kiln_spec::Random;

const IN_FEATURES: usize = 5;
const OUT_FEATURES: usize = 4;
const ROWS: usize = 6;

fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, "noise", 0, 0);
    (0..count).map(|_| random.normal()).collect()
}

/// A linear layer with bias and this adapter, of random values in f64; and its values by name.
fn adapted(spec: AdapterSpec) -> (Linear, impl Fn(&str) -> Vec<f64>) {
    let adapters = AdapterMap::from([("m".into(), vec![AttachedAdapter::new(spec)])]);
    let mut init = Initializer::new(0, &device()).with_adapters(adapters, Initializer::new(0, &device()));
    let mut seed = 0;
    let map = map_module_params(Linear::new("m", [IN_FEATURES, OUT_FEATURES], true, &mut init), |param| {
        seed += 1;
        let shape = param.view().shape();
        param.set_value(TensorData::new(noise(shape.iter().product(), seed), shape), Some(DType::F64));
    });
    let values = kiln_laws::parameters::values(&map);
    let value = move |end: &str| -> Vec<f64> {
        let (_, data) = values.iter().find(|(name, _)| name.ends_with(end)).unwrap_or_else(|| panic!("no {end}"));
        data.iter::<f64>().collect()
    };
    (map, value)
}

fn input() -> Vec<f64> {
    noise(ROWS * IN_FEATURES, 99)
}

fn forward(map: &Linear) -> Vec<f64> {
    let x = Tensor::<2>::from_data(TensorData::new(input(), [ROWS, IN_FEATURES]), (&device(), DType::F64));
    map.forward(x).into_data().iter::<f64>().collect()
}

/// x W + b, element by element.
fn product(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let cell = |row: usize, to: usize| {
        bias[to] + (0..IN_FEATURES).map(|i| x[row * IN_FEATURES + i] * weight[i * OUT_FEATURES + to]).sum::<f64>()
    };
    (0..ROWS).flat_map(|row| (0..OUT_FEATURES).map(move |to| (row, to))).map(|(row, to)| cell(row, to)).collect()
}

/// `[in, r] × [r, out]`.
fn low_rank(a: &[f64], b: &[f64], rank: usize) -> Vec<f64> {
    let cell = |i: usize, to: usize| (0..rank).map(|r| a[i * rank + r] * b[r * OUT_FEATURES + to]).sum::<f64>();
    (0..IN_FEATURES).flat_map(|i| (0..OUT_FEATURES).map(move |to| (i, to))).map(|(i, to)| cell(i, to)).collect()
}

#[test]
fn dora_scales_the_columns_to_its_magnitudes() {
    let spec = LoraConfig { rank: 3, alpha: 5.0, ..LoraConfig::default() }.spec("m");
    let (map, value) = adapted(AdapterSpec::Dora(spec));
    let (weight, change) = (value("weight"), low_rank(&value(".a"), &value(".b"), 3));
    let sum: Vec<f64> = weight.iter().zip(&change).map(|(w, c)| w + 5.0 / 3.0 * c).collect();
    let norm = |to: usize| (0..IN_FEATURES).map(|i| sum[i * OUT_FEATURES + to].powi(2)).sum::<f64>().sqrt();
    let magnitude = value("magnitude");
    let scaled = sum.iter().enumerate().map(|(at, w)| w * magnitude[at % OUT_FEATURES] / norm(at % OUT_FEATURES));
    let wanted = product(&input(), &scaled.collect::<Vec<_>>(), &value("bias"));
    assert!(max_abs_diff(&forward(&map), &wanted) < 1e-12);
    assert!(max_abs_diff(&product(&input(), &sum, &value("bias")), &wanted) > 0.1, "a control");
}

#[test]
fn ia3_multiplies_outputs_or_inputs() {
    let (map, value) = adapted(AdapterSpec::Ia3(Ia3Spec { feedforward: false }));
    let l = value(".l");
    let plain = product(&input(), &value("weight"), &value("bias"));
    let wanted: Vec<f64> = plain.iter().enumerate().map(|(at, y)| y * l[at % OUT_FEATURES]).collect();
    assert!(max_abs_diff(&forward(&map), &wanted) < 1e-12);
    let (map, value) = adapted(AdapterSpec::Ia3(Ia3Spec { feedforward: true }));
    let l = value(".l");
    let x: Vec<f64> = input().iter().enumerate().map(|(at, x)| x * l[at % IN_FEATURES]).collect();
    assert!(max_abs_diff(&forward(&map), &product(&x, &value("weight"), &value("bias"))) < 1e-12);
    assert!(max_abs_diff(&forward(&map), &plain) > 0.1, "a control");
}

#[test]
fn adalora_has_singular_values_between_its_matrices() {
    let config = AdaLoraConfig { init_rank: 3, target_rank: 2, alpha: 5.0, ..AdaLoraConfig::default() };
    let (map, value) = adapted(AdapterSpec::AdaLora(config.spec("m")));
    let e = value(".e");
    let a: Vec<f64> = value(".a").iter().enumerate().map(|(at, a)| a * e[at % 3]).collect();
    let change = low_rank(&a, &value("list.0.b"), 3);
    let weight: Vec<f64> = value("weight").iter().zip(change).map(|(w, c)| w + 5.0 / (3.0 + 1e-5) * c).collect();
    assert!(max_abs_diff(&forward(&map), &product(&input(), &weight, &value("bias"))) < 1e-12);
}

#[test]
fn vera_scales_random_matrices() {
    let spec = VeraConfig { rank: 3, ..VeraConfig::default() }.spec("m");
    let (map, value) = adapted(AdapterSpec::Vera(spec));
    let (d, l) = (value("lambda_d"), value("lambda_b"));
    let a: Vec<f64> = value(".a").iter().enumerate().map(|(at, a)| a * d[at % 3]).collect();
    let b: Vec<f64> = value("list.0.b").iter().enumerate().map(|(at, b)| b * l[at % OUT_FEATURES]).collect();
    let weight: Vec<f64> = value("weight").iter().zip(low_rank(&a, &b, 3)).map(|(w, c)| w + c).collect();
    assert!(max_abs_diff(&forward(&map), &product(&input(), &weight, &value("bias"))) < 1e-12);
}
