//! Auxiliary losses are weighted into the gradient and reported without their weights.

use crate::training::{
    runs::{TestRun, recipe, steps},
    toy::{RNG_KEY, batch, gradient_descent, models, relative_difference, weights},
};
use burn::tensor::Tensor;
use kiln_data::{Batch, PackedSequences};
use kiln_models::Visibility;
use kiln_nn::Context;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective,
    objective::{BatchFuture, Full, Loss, to_device},
    step::compute_gradients,
};

const AUXILIARY_WEIGHT: f64 = 0.25;

/// Mean square of the hidden states at weighted positions.
fn mean_square(models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1> {
    let hidden = models.policy.forward(to_device(&models.policy, batch, &batch.inputs), cx);
    let [rows, width, size] = hidden.dims();
    let weights = burn::tensor::TensorData::new(batch.weights.clone(), [rows, width, 1]);
    let weights = Tensor::<3>::from_data(weights, &hidden.device().without_autodiff());
    (hidden.square() * weights).sum() / (batch.total_weight() * size as f64)
}

/// The full objective with an additional term, added as an auxiliary loss or by the objective itself.
struct WithAuxiliaryLoss(bool);

impl Objective for WithAuxiliaryLoss {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let (loss, square) = (Full.loss(models, batch, cx), mean_square(models, batch, cx));
        if self.0 {
            cx.scope("hidden", |cx| cx.add_auxiliary_loss("square", square, AUXILIARY_WEIGHT));
            return loss;
        }
        (loss.sum + square * (AUXILIARY_WEIGHT * batch.total_weight())).into()
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

#[test]
fn auxiliary_losses_count_like_terms_of_the_objective() {
    let batch = batch(6, 32);
    for parts in [1, 3] {
        let batches: Vec<Batch> =
            (0..parts).map(|part| batch.select_rows(part * 6 / parts..(part + 1) * 6 / parts)).collect();
        let moved = |objective: &dyn Objective| {
            let models = models();
            let found = compute_gradients(&models, &batches, objective, RNG_KEY);
            let read = |tensor: &Tensor<1>| f64::from(tensor.clone().into_scalar::<f32>());
            let (loss, added) = (read(&found.loss), found.auxiliary_losses.get("hidden.square").map(read));
            let policy = found.apply(models.policy, &mut gradient_descent(), 0.1, None);
            (loss, added, weights(&Models::new(policy)))
        };
        let (on_the_way, itself, without) =
            (moved(&WithAuxiliaryLoss(true)), moved(&WithAuxiliaryLoss(false)), moved(&Full));
        assert!(
            relative_difference(&on_the_way.2, &itself.2) < 1e-7
                && relative_difference(&on_the_way.2, &without.2) > 1e-5
        );
        let added = on_the_way.1.expect("what was added");
        assert_eq!((on_the_way.0, itself.1, without.1), (without.0, None, None));
        assert!(
            (on_the_way.0 + AUXILIARY_WEIGHT * added - itself.0).abs() < 1e-5,
            "{} {added} {}",
            on_the_way.0,
            itself.0
        );
    }
}

#[test]
fn metrics_name_auxiliary_losses() {
    let home = tempfile::tempdir().unwrap();
    let losses = |parts: usize| {
        let path = home.path().join(parts.to_string());
        let run = TestRun { objective: &|_| Box::new(WithAuxiliaryLoss(true)), ..TestRun::default() };
        run.start(&recipe(&["stages.0.steps=3", &format!("stages.0.gradient_accumulation={parts}")]), &path).unwrap();
        let added = |losses: &std::collections::BTreeMap<String, Option<f64>>| losses["hidden.square"].unwrap();
        steps(&path).iter().map(|row| added(&row.auxiliary_losses)).collect::<Vec<f64>>()
    };
    let (whole, parts) = (losses(1), losses(2));
    assert!(whole.len() == 3 && whole.iter().all(|loss| *loss > 0.0));
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a / b - 1.0).abs() < 1e-5), "{whole:?} {parts:?}");
}

/// Metrics have the losses of experts. The balance loss is near its minimum at first.
#[test]
fn metrics_name_the_losses_of_experts() {
    let home = tempfile::tempdir().unwrap();
    let sets = [
        "stages.0.steps=3",
        "model.blocks.0.sublayers.1.parts=[{ experts = { num_experts = 4, router_z_loss_coef = 0.01 } }]",
    ];
    TestRun::default().start(&recipe(&sets), &home.path().join("run")).unwrap();
    for row in steps(&home.path().join("run")) {
        for block in 0..2 {
            let [balance, z] = ["balance", "z"]
                .map(|name| row.auxiliary_losses[&format!("blocks.{block}.feed_forward.{name}")].unwrap());
            assert!((0.9..1.5).contains(&balance) && (1.0..10.0).contains(&z), "{balance} {z}");
        }
    }
}
