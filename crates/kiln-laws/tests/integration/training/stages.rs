//! Stages of one run.

use crate::training::runs::{
    TestRun, assert_same_result, metric_rows, recipe, run_result, stages, steps, train, weights,
};
use kiln_train::{Recipe, StageConfig};

/// A stage of ten steps, then a stage of eight that trains some parameters on shorter sequences.
fn two_stage_recipe() -> Recipe {
    let mut recipe = recipe(&["stages.0.steps=10", "stages.0.checkpoint_every=0.5", "stages.0.eval_every=1.0"]);
    recipe.stages.push(StageConfig {
        name: "tune it".into(),
        trainable: vec!["blocks.1.*".into(), "norm.weight".into()],
        steps: 8,
        sequence_length: 32,
        ..recipe.stages[0].clone()
    });
    recipe.resolve();
    recipe.check().unwrap();
    recipe
}

#[test]
fn a_run_stopped_in_its_second_stage_keeps_the_first() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), two_stage_recipe());
    let path = |name: &str| home.path().join(name);
    train(&recipe, &path("undisturbed"));
    let wanted = run_result(&path("undisturbed"));
    // Within the first stage, at its end, at the first step of the second, and later.
    for stop in [4, 10, 11, 14] {
        let run = path(&stop.to_string());
        let stopped = TestRun { stop_after: Some(stop), ..TestRun::default() }.start(&recipe, &run).unwrap();
        // A stop that is asked for with the last step of a stage takes effect before the next one reads its text.
        let (stage, step) = if stop <= 10 { (0, stop) } else { (1, stop - 10) };
        assert!(stopped.interrupted && stopped.steps == (step, [10, 8][stage]), "{stop}: {stopped:?}");
        let before = metric_rows(&run);
        assert!(!TestRun::default().resume(&run).unwrap().interrupted);
        assert_eq!(metric_rows(&run)[..before.len()], before);
        assert_same_result(&run_result(&run), &wanted, &format!("stopped after {stop}"));
    }
}

#[test]
fn steps_and_tokens_continue_and_schedules_restart() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), two_stage_recipe());
    let path = home.path().join("run");
    train(&recipe, &path);
    let (steps, [first, second]) = (steps(&path), [&recipe.stages[0], &recipe.stages[1]]);
    assert_eq!(steps.iter().map(|row| row.step).collect::<Vec<_>>(), (1..=18).collect::<Vec<_>>());
    assert!(steps.windows(2).all(|pair| pair[0].tokens < pair[1].tokens));
    let rates =
        (0..10).map(|k| first.schedule.learning_rate(k, 10)).chain((0..8).map(|k| second.schedule.learning_rate(k, 8)));
    assert_eq!(steps.iter().map(|row| row.learning_rate).collect::<Vec<_>>(), rates.collect::<Vec<_>>());
    assert_eq!(stages(&path).iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["pretrain", "tune-it"]);
    let (before, after) = (weights(&path, 0, 10), weights(&path, 1, 8));
    let trained = |name: &str| name.starts_with("blocks.1.") || name == "norm.weight";
    assert!(before.iter().all(|(name, raw)| (after[name] != *raw) == trained(name)));
}
