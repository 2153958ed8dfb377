//! Losses and gradients of the fixture, which PyTorch computed in f64 (`tools/fixtures_objectives.py`); the exact zero.

use super::{
    Distill, Divergence,
    token_losses::{LOSS, TokenInputs, token_losses},
    weighted_sums,
};
use crate::models::FrozenSource;
use burn::{
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, TensorData},
};
use kiln_models::{Model, ModelConfig, for_each_param};
use kiln_nn::{Context, context::GradientSink};
use kiln_spec::Layout;
use serde::Deserialize;

const FIXTURE: &str = include_str!("../../../fixtures/distill.json");

#[derive(Deserialize)]
struct Fixture {
    student: Vec<Vec<f64>>,
    teacher: Vec<Vec<f64>>,
    targets: Vec<i32>,
    weights: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: Divergence,
    temperature: f64,
    alpha: f64,
    top_k: usize,
    kl: Vec<f64>,
    cross_entropy: Vec<f64>,
    gradient: Vec<Vec<f64>>,
}

impl Case {
    fn options(&self) -> Distill {
        let Self { kind: loss, temperature, alpha, .. } = *self;
        let top_k = (self.top_k > 0).then_some(self.top_k);
        Distill { temperature, alpha, loss, top_k, ..Distill::new(FrozenSource::Start) }
    }
}

fn matrix(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), &Device::flex())
}

fn values(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn largest_distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
}

fn targets(ids: &[i32]) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [ids.len()]), &Device::flex())
}

/// Loss, KL part, cross-entropy and gradient of the fixture's tokens.
fn computed(fixture: &Fixture, options: &Distill) -> [Vec<f64>; 4] {
    let (student, teacher) = (matrix(&fixture.student), matrix(&fixture.teacher));
    let (outputs, gradient) = options.token_values(student, teacher, targets(&fixture.targets));
    let outputs = values(outputs);
    let [loss, kl, cross_entropy] = [0, 1, 2].map(|column| outputs.iter().skip(column).step_by(4).copied().collect());
    [loss, kl, cross_entropy, values(gradient)]
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let fixture: Fixture = serde_json::from_str(FIXTURE).unwrap();
    assert_eq!(fixture.cases.len(), 9);
    for case in &fixture.cases {
        let name = format!("{:?}, T {}, top k {}", case.kind, case.temperature, case.top_k);
        let [loss, kl, cross_entropy, gradient] = computed(&fixture, &case.options());
        let parts = case.kl.iter().zip(&case.cross_entropy);
        let expected: Vec<f64> = parts.map(|(kl, ce)| case.alpha * kl + (1.0 - case.alpha) * ce).collect();
        assert!(largest_distance(&loss, &expected) < 2e-5, "{name}: loss");
        assert!(largest_distance(&kl, &case.kl) < 2e-5, "{name}: kl");
        assert!(largest_distance(&cross_entropy, &case.cross_entropy) < 2e-5, "{name}: cross-entropy");
        // The fixture's gradient is that of the weighted sum.
        let weighted = case.gradient.iter().zip(&fixture.weights);
        let expected: Vec<f64> = weighted.flat_map(|(row, weight)| row.iter().map(move |g| g / weight)).collect();
        let distance = largest_distance(&gradient, &expected);
        assert!(distance < 2e-5, "{name}: gradient {distance:e}");
    }
}

/// Control: another temperature is not within the tolerance.
#[test]
fn another_temperature_is_another_loss() {
    let fixture: Fixture = serde_json::from_str(FIXTURE).unwrap();
    for case in &fixture.cases {
        let options = Distill { temperature: case.temperature * 1.01, ..case.options() };
        assert!(largest_distance(&computed(&fixture, &options)[1], &case.kl) > 1e-4);
    }
}

#[test]
fn equal_logits_give_exactly_zero() {
    let fixture: Fixture = serde_json::from_str(FIXTURE).unwrap();
    for case in &fixture.cases {
        for scale in [1.0, 30.0] {
            let student = matrix(&fixture.student) * scale;
            let options = Distill { alpha: 1.0, ..case.options() };
            let (outputs, gradient) = options.token_values(student.clone(), student, targets(&fixture.targets));
            let [outputs, gradient] = [values(outputs), values(gradient)];
            let losses = outputs.iter().step_by(4);
            assert!(losses.chain(&gradient).all(|value| *value == 0.0), "{:?}: {outputs:?} {gradient:?}", case.kind);
            assert!(outputs.iter().skip(3).step_by(4).all(|agreement| *agreement == 1.0));
        }
    }
}

/// Rows that only one of the models has are not compared and get no gradient from the teacher.
#[test]
fn unused_rows_of_the_larger_table_are_left_out() {
    let fixture: Fixture = serde_json::from_str(FIXTURE).unwrap();
    let (student, teacher) = (matrix(&fixture.student), matrix(&fixture.teacher));
    let options = Distill { alpha: 1.0, ..Distill::new(FrozenSource::Start) };
    let wide = |logits: Tensor<2>| Tensor::cat(vec![logits.clone(), logits.slice([0..5, 0..3])], 1);
    let targets = targets(&fixture.targets);
    let (expected, gradient) = options.token_values(student.clone(), teacher.clone(), targets.clone());
    let kl = |outputs: Tensor<2>| values(outputs.slice([0..5, 1..2]));
    let (found, _) = options.token_values(student.clone(), wide(teacher.clone()), targets.clone());
    assert_eq!(kl(found), kl(expected.clone()));
    let (found, wide_gradient) = options.token_values(wide(student), teacher, targets);
    assert_eq!(kl(found), kl(expected));
    assert_eq!(values(wide_gradient.clone().slice([0..5, 0..11])), values(gradient));
    assert!(values(wide_gradient.slice([0..5, 11..14])).iter().all(|value| *value == 0.0));
}

/// Chunks of any size, recomputed or not, have the loss and the gradients of one chunk.
#[test]
fn chunks_add_up() {
    let fixture: Fixture = serde_json::from_str(FIXTURE).unwrap();
    let mut config = ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() };
    config.resolve();
    let student = Model::init(&config, 1, &Device::flex().autodiff());
    let teacher = Model::init(&config, 2, &Device::flex());
    let hidden = matrix(&fixture.student).slice([0..5, 0..8]);
    let computed = |chunk: usize, sink: Option<GradientSink>| {
        let leaf = Tensor::from_inner(hidden.clone()).require_grad();
        let inputs = TokenInputs { student: leaf.clone(), teacher: hidden.clone(), targets: targets(&fixture.targets) };
        let layout = Layout::packed(&[vec![]], 5);
        let mut cx = Context::new(&layout, &Device::flex());
        cx.loss_sink.clone_from(&sink);
        let options = Distill { top_k: Some(3), ..Distill::new(FrozenSource::Start) };
        let losses = token_losses(&options, (&student, &teacher), inputs, chunk, &mut cx);
        assert_eq!((losses.len(), cx.gradient_sink.is_some()), (5usize.div_ceil(chunk), false));
        let weights: Vec<f32> = fixture.weights.iter().map(|weight| *weight as f32).collect();
        let weights = Tensor::from_data(TensorData::new(weights, [5]), &Device::flex());
        let sum = weighted_sums(losses, weights)[LOSS].clone();
        let mut graph = sum.clone().backward();
        let mut numbers: Vec<f64> = sum.inner().into_data().iter::<f64>().collect();
        numbers.extend(values(leaf.grad_remove(&mut graph).unwrap()));
        let stored = GradientsParams::from_module(&mut graph, &student);
        for gradients in sink.iter().flat_map(GradientSink::take).chain([stored]) {
            let mut total = 0.0;
            for_each_param(&student, |param| {
                total += param.gradient(&gradients).map_or(0.0, |gradient| {
                    gradient.flatten().into_data().iter::<f64>().zip(1..).map(|(g, i)| g * f64::from(i)).sum::<f64>()
                });
            });
            numbers.push(total);
        }
        let parameters = numbers.split_off(41).iter().sum::<f64>();
        numbers.push(parameters);
        numbers
    };
    let whole = computed(5, None);
    assert!(whole.iter().all(|number| number.is_finite()) && whole[41].abs() > 1e-3, "{whole:?}");
    for chunk in 1..=5 {
        for sink in [None, Some(GradientSink::default())] {
            assert!(largest_distance(&computed(chunk, sink), &whole) < 1e-4, "chunks of {chunk}");
        }
    }
}
