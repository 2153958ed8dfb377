//! A linear layer with LoRA against loops over its numbers.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_laws::{device, max_abs_diff};
use kiln_models::parameters::map_module_params;
use kiln_nn::{
    Context, Initializer,
    adapter::{AdapterMap, AdapterSpec, AttachedAdapter, LoraInit, LoraSpec},
    context::RngKey,
    linear::Linear,
};
use kiln_spec::{Direction, DocumentSpan, Layout, Random};

const SHAPE: LoraSpec = LoraSpec { rank: 3, alpha: 5.0, rslora: false, dropout: 0.0, init: LoraInit::Uniform };
const IN_FEATURES: usize = 5;
const OUT_FEATURES: usize = 4;
const ROWS: usize = 6;

/// A linear layer with bias and LoRA, of random values in f64.
fn linear_with_lora(shape: LoraSpec) -> Linear {
    let adapters = AdapterMap::from([("m".into(), vec![AttachedAdapter::new(AdapterSpec::Lora(shape))])]);
    let mut init = Initializer::new(0, &device()).with_adapters(adapters, Initializer::new(0, &device()));
    let mut seed = 0;
    map_module_params(Linear::new("m", [IN_FEATURES, OUT_FEATURES], true, &mut init), |param| {
        seed += 1;
        let shape = param.view().shape();
        let values = noise(shape.iter().product(), seed);
        param.set_value(TensorData::new(values, shape), Some(DType::F64));
    })
}

fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, "noise", 0, 0);
    (0..count).map(|_| random.normal()).collect()
}

fn input() -> Tensor<3> {
    Tensor::from_data(TensorData::new(noise(ROWS * IN_FEATURES, 99), [1, ROWS, IN_FEATURES]), (&device(), DType::F64))
}

fn to_vec<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Values of weight, bias, A and B, in the order of the module.
fn weight_values(map: &Linear) -> Vec<Vec<f64>> {
    kiln_laws::parameters::values(map).into_values().map(|data| data.iter::<f64>().collect()).collect()
}

/// x W + b + s x' A B, element by element.
fn reference(map: &Linear, x: &[f64], dropped: &[f64], scale: f64) -> Vec<f64> {
    let [a, b, bias, weight] = weight_values(map).try_into().expect("four parameters, by name");
    let rank = a.len() / IN_FEATURES;
    let cell = |row: usize, to: usize| {
        let base: f64 = (0..IN_FEATURES).map(|i| x[row * IN_FEATURES + i] * weight[i * OUT_FEATURES + to]).sum();
        let middle = |r: usize| (0..IN_FEATURES).map(|i| dropped[row * IN_FEATURES + i] * a[i * rank + r]).sum::<f64>();
        base + bias[to] + scale * (0..rank).map(|r| middle(r) * b[r * OUT_FEATURES + to]).sum::<f64>()
    };
    (0..ROWS).flat_map(|row| (0..OUT_FEATURES).map(move |to| (row, to))).map(|(row, to)| cell(row, to)).collect()
}

#[test]
fn a_lora_adds_its_scaled_product() {
    let x = to_vec(input());
    for (shape, scale) in [(SHAPE, 5.0 / 3.0), (LoraSpec { rslora: true, ..SHAPE }, 5.0 / 3f64.sqrt())] {
        let map = linear_with_lora(shape);
        let wanted = reference(&map, &x, &x, scale);
        assert!(max_abs_diff(&to_vec(map.forward(input())), &wanted) < 1e-12);
        assert!(max_abs_diff(&to_vec(map.forward(input().reshape([ROWS, IN_FEATURES]))), &wanted) < 1e-12);
        assert!(max_abs_diff(&to_vec(map.forward_base(input())), &wanted) > 0.1, "a control");
    }
}

#[test]
fn dropout_acts_before_a_and_in_training_only() {
    let map = linear_with_lora(LoraSpec { dropout: 0.5, ..SHAPE });
    let layout = Layout::packed(&[vec![DocumentSpan { length: ROWS, start: 0, direction: Direction::Causal }]], ROWS);
    let plain = to_vec(map.forward(input()));
    assert_eq!(to_vec(map.forward_with(input(), &Context::new(&layout, &device()))), plain);
    let training = |step| Context::training(&layout, RngKey { seed: 4, step, micro_batch: 0 }, &device());
    let cx = training(7);
    let dropped = to_vec(cx.dropout_named("m.lora", 0.5, input()));
    assert!(dropped.contains(&0.0));
    let found = to_vec(map.forward_with(input(), &cx));
    let wanted = reference(&map, &to_vec(input()), &dropped, 5.0 / 3.0);
    assert!(max_abs_diff(&found, &wanted) < 1e-12);
    assert_eq!(found, to_vec(map.forward_with(input(), &training(7))));
    assert!(max_abs_diff(&found, &to_vec(map.forward_with(input(), &training(8)))) > 1e-3);
    assert!(max_abs_diff(&found, &plain) > 1e-3);
}

#[test]
fn an_adapter_costs_its_two_products() {
    assert_eq!(
        linear_with_lora(SHAPE).flops(),
        2.0 * (IN_FEATURES * OUT_FEATURES + 3 * (IN_FEATURES + OUT_FEATURES)) as f64
    );
}
