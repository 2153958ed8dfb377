//! Losses and gradients of the fixture, which PyTorch computed in f64 (`tools/fixtures_objectives.py`); options.

use super::{AnswerScores, Preference, PreferenceLoss};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

const FIXTURE: &str = include_str!("../../../fixtures/preference.json");

#[derive(Deserialize)]
struct Fixture {
    pairs: Pairs,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Pairs {
    chosen: Vec<f64>,
    rejected: Vec<f64>,
    reference_chosen: Vec<f64>,
    reference_rejected: Vec<f64>,
    chosen_length: Vec<f64>,
    rejected_length: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    loss: PreferenceLoss,
    beta: f64,
    label_smoothing: f64,
    gamma: f64,
    sft_weight: f64,
    losses: Vec<f64>,
    chosen_gradient: Vec<f64>,
    rejected_gradient: Vec<f64>,
}

impl Case {
    fn options(&self) -> Preference {
        let Self { loss, label_smoothing, sft_weight, .. } = *self;
        let gamma = (loss == PreferenceLoss::Simpo).then_some(self.gamma);
        Preference { loss, beta: Some(self.beta), label_smoothing, gamma, sft_weight, ..Preference::default() }
    }
}

fn tensor(values: &[f64]) -> Tensor<1> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &Device::flex().autodiff())
}

fn values(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Largest distance from the expected values, relative to 1 or the value if that is greater.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let distances =
        found.iter().zip(expected).map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0));
    distances.fold(0.0, f64::max)
}

/// Losses and both gradients of a case.
fn computed(pairs: &Pairs, options: &Preference) -> [Vec<f64>; 3] {
    let policy = [&pairs.chosen, &pairs.rejected].map(|values| tensor(values).require_grad());
    let reference = [&pairs.reference_chosen, &pairs.reference_rejected].map(|values| tensor(values).inner());
    let scores = AnswerScores {
        policy: policy.clone(),
        reference: options.loss.has_reference().then_some(reference),
        lengths: [&pairs.chosen_length, &pairs.rejected_length].map(|values| tensor(values).inner()),
    };
    let losses = options.pair_losses(scores).losses;
    let mut graph = losses.clone().sum().backward();
    let [chosen, rejected] = policy.map(|leaf| values(leaf.grad_remove(&mut graph).unwrap()));
    [values(losses.inner()), chosen, rejected]
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let Fixture { pairs, cases } = serde_json::from_str(FIXTURE).unwrap();
    assert!(cases.len() >= 12);
    for case in &cases {
        let found = computed(&pairs, &case.options());
        let expected = [&case.losses, &case.chosen_gradient, &case.rejected_gradient];
        for (found, expected) in found.iter().zip(expected) {
            let distance = distance(found, expected);
            assert!(distance < 1e-5, "{}: {distance:e}", case.loss.name());
        }
    }
}

/// Control: another strength of the preference is not within the tolerance.
#[test]
fn another_beta_is_another_loss() {
    let Fixture { pairs, cases } = serde_json::from_str(FIXTURE).unwrap();
    for case in &cases {
        let options = Preference { beta: Some(case.beta * 1.01), ..case.options() };
        assert!(distance(&computed(&pairs, &options)[0], &case.losses) > 1e-4, "{}", case.loss.name());
    }
}

#[test]
fn options_without_effect_or_out_of_range_are_refused() {
    let refused = [
        ("beta", Preference { beta: Some(0.0), ..Preference::default() }),
        ("label_smoothing", Preference { label_smoothing: 0.5, ..Preference::default() }),
        ("label_smoothing", Preference { loss: PreferenceLoss::Ipo, label_smoothing: 0.1, ..Preference::default() }),
        ("gamma", Preference { gamma: Some(1.0), ..Preference::default() }),
        ("sft_weight", Preference { sft_weight: f64::NAN, ..Preference::default() }),
        (
            "reference",
            Preference {
                loss: PreferenceLoss::Orpo,
                reference: Some("start".to_owned().into()),
                ..Preference::default()
            },
        ),
        ("precompute", Preference { loss: PreferenceLoss::Simpo, precompute: true, ..Preference::default() }),
    ];
    for (key, options) in refused {
        let error = options.check_options("objective.preference").unwrap_err();
        assert_eq!(error.path, format!("objective.preference.{key}"), "{error}");
    }
    Preference::default().check_options("objective.preference").unwrap();
}
