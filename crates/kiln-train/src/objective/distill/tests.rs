//! Losses and gradients of the fixture, which PyTorch computed in f64 (`tools/fixtures_objectives.py`); the exact zero.

use super::{Distill, Divergence};
use crate::models::FrozenSource;
use burn::tensor::{Device, Int, Tensor, TensorData};
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
