//! A stopped and resumed run equals an uninterrupted one, to the bit.

use crate::training::runs::{TestRun, assert_same_result, recipe, run_result, train};
use kiln_spec::Random;
use kiln_train::Recipe;
use std::path::Path;

const STEPS: u64 = 24;

/// A recipe with all state that must be restored: dropout, micro-batches, a schedule, samples, validations.
fn full_featured_recipe() -> Recipe {
    recipe(&[
        "model.dropout=0.1",
        "stages.0.gradient_accumulation=2",
        "stages.0.schedule={ wsd = { learning_rate = 3e-3 } }",
        "stages.0.num_samples=1",
        "stages.0.sample_tokens=12",
        "stages.0.checkpoint_every=0.25",
        "stages.0.eval_every=0.3333333333333333",
    ])
}

/// Runs and stops after the steps that `next` returns for the steps done. Returns the number of stops.
fn run_with_stops(recipe: &Recipe, path: &Path, mut next: impl FnMut(u64) -> u64) -> usize {
    let mut ended = TestRun { stop_after: Some(next(0)), ..TestRun::default() }.start(recipe, path).unwrap();
    let mut stops = 0;
    while ended.interrupted {
        stops += 1;
        let run = TestRun { stop_after: Some(next(ended.steps.0)), ..TestRun::default() };
        ended = run.resume(path).unwrap();
    }
    stops
}

#[test]
fn stopping_at_any_step_changes_no_bit() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), full_featured_recipe());
    let path = |name: &str| home.path().join(name);
    train(&recipe, &path("undisturbed"));
    let wanted = run_result(&path("undisturbed"));
    for round in 0..4 {
        let mut random = Random::new(round, "stops", 0, 0);
        let run = path(&round.to_string());
        let stops = run_with_stops(&recipe, &run, |done| done + 1 + random.uniform_int(9) as u64);
        assert!(stops >= 2, "{stops} stops are no test");
        assert_same_result(&run_result(&run), &wanted, &format!("round {round}"));
    }
    let stops = run_with_stops(&recipe, &path("each"), |done| done + 1);
    assert_eq!(stops as u64, STEPS - 1);
    assert_same_result(&run_result(&path("each")), &wanted, "after each step");
}

#[test]
fn resuming_a_finished_run_changes_nothing() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), recipe(&["stages.0.steps=3"]));
    let path = home.path().join("run");
    train(&recipe, &path);
    let wanted = run_result(&path);
    let again = TestRun::default().resume(&path).unwrap();
    assert_eq!((again.steps, again.interrupted), ((3, 3), false));
    assert_same_result(&run_result(&path), &wanted, "resumed after its end");
}

/// Control: the comparison detects another run.
#[test]
fn another_seed_is_another_run() {
    let home = tempfile::tempdir().unwrap();
    let run = |seed: u64| {
        let path = home.path().join(seed.to_string());
        train(&recipe(&["stages.0.steps=2", &format!("seed={seed}")]), &path);
        run_result(&path)
    };
    assert!(run(1) != run(2));
}
