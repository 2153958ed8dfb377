//! A batch in parts is the batch: every token counts alike, whichever part it is in.

use crate::{
    runs::{recipe, steps, train},
    toy::{DRAWS, apart, batch, descent, models, weights},
};
use kiln_data::Batch;
use kiln_laws::parameters::in_f64;
use kiln_models::Values;
use kiln_train::{
    Models, Objective,
    objective::Full,
    optimiser::{Optimiser, OptimiserConfig},
    step::gradients,
};

fn parts(batch: &Batch, parts: usize) -> Vec<Batch> {
    let rows = batch.rows / parts;
    (0..parts).map(|part| batch.select(part * rows..(part + 1) * rows)).collect()
}

/// Loss, norm and weights after some steps on the same batch.
fn trained(mut models: Models, batches: &[Batch], mut optimiser: Optimiser, rate: f64) -> (Vec<f64>, Values) {
    let mut figures = Vec::new();
    for _ in 0..3 {
        let found = gradients(&models, batches, &Full as &dyn Objective, DRAWS);
        figures.extend([&found.loss, &found.norm].map(|tensor| tensor.clone().into_data().iter::<f64>().sum::<f64>()));
        models.policy = found.apply(models.policy, &mut optimiser, rate, Some(0.5));
    }
    (figures, weights(&models))
}

#[test]
fn parts_of_unequal_weight_are_one_batch() {
    let batch = batch(6, 48);
    let weights: Vec<f64> = parts(&batch, 6).iter().map(Batch::weight).collect();
    assert!(weights.windows(2).all(|pair| pair[1] < pair[0]), "parts of equal weight show nothing: {weights:?}");
    for count in [1, 2, 3, 6] {
        let (whole, parts) = ([batch.clone()], parts(&batch, count));
        let in_64 = || Models { policy: in_f64(models().policy) };
        for (models, adam, tolerance) in [(models as fn() -> Models, false, 1e-6), (models, true, 1e-5)] {
            let optimiser = || if adam { Optimiser::new(&OptimiserConfig::default()) } else { descent() };
            let (one, many) =
                (trained(models(), &whole, optimiser(), 0.01), trained(models(), &parts, optimiser(), 0.01));
            close(&one, &many, tolerance, count);
        }
        let adam = || Optimiser::new(&OptimiserConfig::default());
        let (one, many) = (trained(in_64(), &whole, adam(), 0.01), trained(in_64(), &parts, adam(), 0.01));
        close(&one, &many, 1e-9, count);
    }
}

#[track_caller]
fn close(one: &(Vec<f64>, Values), many: &(Vec<f64>, Values), tolerance: f64, count: usize) {
    for (a, b) in one.0.iter().zip(&many.0) {
        assert!((a / b - 1.0).abs() <= tolerance, "{count} parts: {a} {b}");
    }
    let apart = apart(&one.1, &many.1);
    assert!(apart <= tolerance, "{count} parts: weights {apart:e}");
}

#[test]
fn a_run_in_parts_has_the_losses_of_a_run_in_one() {
    let home = tempfile::tempdir().unwrap();
    let losses = |parts: usize| {
        let path = home.path().join(parts.to_string());
        train(&recipe(&["stages.0.steps=8", &format!("stages.0.accumulate={parts}")]), &path);
        steps(&path).iter().flat_map(|step| [step.loss, step.gradient_norm]).collect::<Vec<f64>>()
    };
    let whole = losses(1);
    for parts in [2, 3, 6] {
        let far = whole.iter().zip(losses(parts)).fold(0.0, |most: f64, (a, b)| most.max((a / b - 1.0).abs()));
        assert!(far < 2e-5, "{parts} parts: {far:e}");
    }
}
