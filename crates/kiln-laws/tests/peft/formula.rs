//! One map with a LoRA, against loops over its numbers.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{DType, Tensor, TensorData},
};
use kiln_laws::{device, farthest};
use kiln_nn::{
    Cx, Init,
    adapter::{Adapters, Beside, LoraShape, LoraStart, Method},
    cx::Draws,
    linear::Linear,
};
use kiln_spec::{Direction, Layout, Piece, Random};

const SHAPE: LoraShape = LoraShape { rank: 3, alpha: 5.0, rs: false, dropout: 0.0, start: LoraStart::Uniform };
const FROM: usize = 5;
const TO: usize = 4;
const ROWS: usize = 6;

/// A map with a bias and a LoRA, all of its numbers drawn, in f64.
fn map(shape: LoraShape) -> Linear {
    struct Drawn(u64);
    impl ModuleMapper for Drawn {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            let values = noise(param.shape().num_elements(), self.0);
            param.map(|old| Tensor::from_data(TensorData::new(values, old.dims()), (&device(), DType::F64)))
        }
    }
    let adapters = Adapters::from([("m".into(), Beside { method: Method::Lora(shape), on: true })]);
    let mut init = Init::new(0, &device()).beside(adapters, Init::new(0, &device()));
    Linear::new("m", [FROM, TO], true, &mut init).map(&mut Drawn(0))
}

fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, "noise", 0, 0);
    (0..count).map(|_| random.normal()).collect()
}

fn input() -> Tensor<3> {
    Tensor::from_data(TensorData::new(noise(ROWS * FROM, 99), [1, ROWS, FROM]), (&device(), DType::F64))
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Numbers of the weight, the bias, A and B, in the order of the walk.
fn parts(map: &Linear) -> Vec<Vec<f64>> {
    kiln_laws::parameters::values(map).into_values().map(|data| data.iter::<f64>().collect()).collect()
}

/// x W + b + s x' A B, number by number.
fn by_hand(map: &Linear, x: &[f64], dropped: &[f64], scale: f64) -> Vec<f64> {
    let [a, b, bias, weight] = parts(map).try_into().expect("four parameters, by name");
    let rank = a.len() / FROM;
    let cell = |row: usize, to: usize| {
        let base: f64 = (0..FROM).map(|i| x[row * FROM + i] * weight[i * TO + to]).sum();
        let middle = |r: usize| (0..FROM).map(|i| dropped[row * FROM + i] * a[i * rank + r]).sum::<f64>();
        base + bias[to] + scale * (0..rank).map(|r| middle(r) * b[r * TO + to]).sum::<f64>()
    };
    (0..ROWS).flat_map(|row| (0..TO).map(move |to| (row, to))).map(|(row, to)| cell(row, to)).collect()
}

#[test]
fn a_lora_adds_its_scaled_product() {
    let x = numbers(input());
    for (shape, scale) in [(SHAPE, 5.0 / 3.0), (LoraShape { rs: true, ..SHAPE }, 5.0 / 3f64.sqrt())] {
        let map = map(shape);
        let wanted = by_hand(&map, &x, &x, scale);
        assert!(farthest(&numbers(map.forward(input())), &wanted) < 1e-12);
        assert!(farthest(&numbers(map.forward(input().reshape([ROWS, FROM]))), &wanted) < 1e-12);
        assert!(farthest(&numbers(map.alone(input())), &wanted) > 0.1, "a control");
    }
}

#[test]
fn dropout_acts_before_a_alone_and_only_while_training() {
    let map = map(LoraShape { dropout: 0.5, ..SHAPE });
    let layout = Layout::packed(&[vec![Piece { length: ROWS, start: 0, direction: Direction::Causal }]], ROWS);
    let plain = numbers(map.forward(input()));
    assert_eq!(numbers(map.forward_in(input(), &Cx::new(&layout, &device()))), plain);
    let training = |step| Cx::training(&layout, Draws { seed: 4, step, part: 0 }, &device());
    let cx = training(7);
    let dropped = numbers(cx.dropout_named("m.lora", 0.5, input()));
    assert!(dropped.contains(&0.0));
    let found = numbers(map.forward_in(input(), &cx));
    let wanted = by_hand(&map, &numbers(input()), &dropped, 5.0 / 3.0);
    assert!(farthest(&found, &wanted) < 1e-12);
    assert_eq!(found, numbers(map.forward_in(input(), &training(7))));
    assert!(farthest(&found, &numbers(map.forward_in(input(), &training(8)))) > 1e-3);
    assert!(farthest(&found, &plain) > 1e-3);
}

#[test]
fn an_adapter_costs_its_two_products() {
    assert_eq!(map(SHAPE).flops(), 2.0 * (FROM * TO + 3 * (FROM + TO)) as f64);
}
