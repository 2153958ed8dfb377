//! Gradient accumulation: every token has the same weight, whichever micro-batch it is in.

use crate::training::{
    runs::{recipe, steps, train},
    toy::{RNG_KEY, batch, gradient_descent, models, relative_difference, weights},
};
use kiln_data::Batch;
use kiln_laws::parameters::to_f64;
use kiln_models::StateDict;
use kiln_train::{
    Models, Objective,
    objective::Full,
    optimizer::{Optimizer, OptimizerConfig},
    step::compute_gradients,
};

fn split_batch(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.batch_size / parts;
    (0..parts).map(|part| batch.select_rows(part * rows..(part + 1) * rows)).collect()
}

/// Loss, gradient norm and weights after some steps on one batch, given as micro-batches.
fn train_steps(mut models: Models, batches: &[Batch], mut optimizer: Optimizer, rate: f64) -> (Vec<f64>, StateDict) {
    let mut figures = Vec::new();
    for _ in 0..3 {
        let found = compute_gradients(&models, batches, &Full as &dyn Objective, RNG_KEY);
        figures.extend([&found.loss, &found.norm].map(|tensor| tensor.clone().into_data().iter::<f64>().sum::<f64>()));
        models.policy = found.apply(models.policy, &mut optimizer, rate, Some(0.5));
    }
    (figures, weights(&models))
}

#[test]
fn micro_batches_of_unequal_weight_equal_one_batch() {
    let batch = batch(6, 48);
    let weights: Vec<f64> = split_batch(&batch, 6).iter().map(Batch::total_weight).collect();
    assert!(weights.windows(2).all(|pair| pair[1] < pair[0]), "parts of equal weight show nothing: {weights:?}");
    for count in [1, 2, 3, 6] {
        let (whole, parts) = ([batch.clone()], split_batch(&batch, count));
        let in_64 = || Models::new(to_f64(models().policy));
        for (models, adam, tolerance) in [(models as fn() -> Models, false, 1e-6), (models, true, 1e-5)] {
            let optimizer = || if adam { Optimizer::new(&OptimizerConfig::default()) } else { gradient_descent() };
            let (one, many) =
                (train_steps(models(), &whole, optimizer(), 0.01), train_steps(models(), &parts, optimizer(), 0.01));
            assert_close(&one, &many, tolerance, count);
        }
        let adam = || Optimizer::new(&OptimizerConfig::default());
        let (one, many) = (train_steps(in_64(), &whole, adam(), 0.01), train_steps(in_64(), &parts, adam(), 0.01));
        assert_close(&one, &many, 1e-9, count);
    }
}

#[track_caller]
fn assert_close(one: &(Vec<f64>, StateDict), many: &(Vec<f64>, StateDict), tolerance: f64, count: usize) {
    for (a, b) in one.0.iter().zip(&many.0) {
        assert!((a / b - 1.0).abs() <= tolerance, "{count} parts: {a} {b}");
    }
    let apart = relative_difference(&one.1, &many.1);
    assert!(apart <= tolerance, "{count} parts: weights {apart:e}");
}

#[test]
fn gradient_accumulation_gives_the_losses_of_one_batch() {
    let home = tempfile::tempdir().unwrap();
    let losses = |parts: usize| {
        let path = home.path().join(parts.to_string());
        train(&recipe(&["stages.0.steps=8", &format!("stages.0.gradient_accumulation={parts}")]), &path);
        steps(&path).iter().flat_map(|step| [step.loss, step.gradient_norm]).collect::<Vec<f64>>()
    };
    let whole = losses(1);
    for parts in [2, 3, 6] {
        let far = whole.iter().zip(losses(parts)).fold(0.0, |most: f64, (a, b)| most.max((a / b - 1.0).abs()));
        assert!(far < 2e-5, "{parts} parts: {far:e}");
    }
}
