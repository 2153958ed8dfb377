//! Exponential moving average of the weights: its values, where it is used, and exact resumption.

use crate::training::{
    runs::{TestRun, assert_same_result, metric_rows, recipe, run_result, stages, train, weights},
    toy::{RNG_KEY, batch, gradient_descent, models},
};
use kiln_laws::values;
use kiln_models::StateDict;
use kiln_train::{
    Objective, Recipe, StageConfig, checkpoint::NamedTensors, ema::WeightEma, objective::Full, step::compute_gradients,
};

fn values_of(values: &StateDict, name: &str) -> Vec<f64> {
    values[name].iter::<f64>().collect()
}

#[test]
fn it_follows_the_recurrence() {
    let (mut models, batch) = (models(), batch(6, 32));
    let (mut average, names) = (WeightEma::new(&models.policy, 0.6), ["embedding", "blocks.1.attention.k.weight"]);
    let mut wanted = names.map(|name| values_of(&values(&models.policy), name));
    for step in 1..=12u64 {
        let found = compute_gradients(&models, std::slice::from_ref(&batch), &Full as &dyn Objective, RNG_KEY);
        models.policy = found.apply(models.policy, &mut gradient_descent(), 0.5, None);
        average.update(&models.policy, step);
        let decay = f64::min(0.6, (1.0 + step as f64) / (10.0 + step as f64));
        let (weights, means) = (values(&models.policy), values(&average.model));
        for (wanted, name) in wanted.iter_mut().zip(names) {
            let now = values_of(&weights, name);
            wanted.iter_mut().zip(&now).for_each(|(mean, weight)| *mean = decay * *mean + (1.0 - decay) * weight);
            let means = values_of(&means, name);
            let far = wanted.iter().zip(&means).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
            let apart = now.iter().zip(&means).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
            assert!(far < 1e-6 && apart > 1e-4, "{name} after {step}: {far:e} {apart:e}");
        }
    }
}

/// A stage of eight steps with an average, then a stage of four without one that trains some parameters.
fn two_stage_recipe(first: &str) -> Recipe {
    let mut recipe = recipe(&["stages.0.steps=8", "stages.0.keep_checkpoints=9", "stages.0.checkpoint_every=1", first]);
    let last =
        StageConfig { ema_decay: None, trainable: vec!["norm.weight".into()], steps: 4, ..recipe.stages[0].clone() };
    recipe.stages.push(StageConfig { name: "tune".into(), ..last });
    recipe.resolve();
    recipe.check().unwrap();
    recipe
}

/// Trained weights in the checkpoint of a stage.
fn raw_weights(path: &std::path::Path, step: u64) -> NamedTensors {
    let (state, train) = (stages(path), |name: &String| name.starts_with("weights."));
    let checkpoint = state[0].checkpoints().load(step).unwrap();
    let of = |(name, raw): (String, _)| (name.replacen("weights.", "", 1), raw);
    checkpoint.training_tensors.into_iter().filter(|(name, _)| train(name)).map(of).collect()
}

#[test]
fn a_stage_validates_and_saves_the_mean() {
    let home = tempfile::tempdir().unwrap();
    let (with, without) = (home.path().join("with"), home.path().join("without"));
    train(&two_stage_recipe("stages.0.ema_decay=0.9"), &with);
    train(&two_stage_recipe("stages.0.keep_checkpoints=1"), &without);
    // The weights that train are what they would be without a mean; the model of the checkpoint is another.
    assert_eq!(raw_weights(&with, 8), weights(&without, 0, 8));
    assert!(raw_weights(&without, 8).is_empty());
    let (mean, last) = (weights(&with, 0, 8), weights(&without, 0, 8));
    assert!(mean.iter().all(|(name, raw)| last[name] != *raw));
    // The next stage goes on from the mean: what it doesn't train stays as it was.
    let next = weights(&with, 1, 4);
    assert!(next.iter().all(|(name, raw)| (mean[name] == *raw) == (name != "norm.weight")));
    let validation =
        |path: &std::path::Path| metric_rows(path).into_iter().find(|row| row.contains("validation")).unwrap();
    assert_ne!(validation(&with), validation(&without));
}

#[test]
fn a_stopped_run_resumes_exactly() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), two_stage_recipe("stages.0.ema_decay=0.9"));
    let path = |name: &str| home.path().join(name);
    train(&recipe, &path("undisturbed"));
    let wanted = run_result(&path("undisturbed"));
    for stop in [3, 7, 10] {
        let run = path(&stop.to_string());
        assert!(TestRun { stop_after: Some(stop), ..TestRun::default() }.start(&recipe, &run).unwrap().interrupted);
        assert!(!TestRun::default().resume(&run).unwrap().interrupted);
        assert_same_result(&run_result(&run), &wanted, &format!("stopped after {stop}"));
    }
}
