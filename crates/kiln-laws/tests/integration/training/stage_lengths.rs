//! Stages whose length is given in epochs, and stages that end early.

use crate::training::runs::{
    TestRun, assert_same_result, metric_rows, recipe, run_result, stages, steps, train, weights,
};
use kiln_data::{Corpus, DiskSpace, Packer, Tokenizer, TokenizerConfig, ValidationSplit};
use kiln_spec::Random;
use kiln_train::{
    Recipe, StageConfig,
    metrics::MetricsRow,
    run::{self, load_metrics},
    run_folder::RunPaths,
};
use std::{path::Path, sync::Arc};

/// Number of packed training rows of the small recipe, counted without a run.
fn packed_rows(recipe: &Recipe) -> usize {
    let source = recipe.data.source.open().unwrap();
    let split = ValidationSplit::new(&*source, recipe.data.validation).unwrap();
    let byte = TokenizerConfig::Byte(Default::default());
    let tokenizer = Tokenizer::train(&byte, [Ok::<_, kiln_data::DataError>("")]).unwrap();
    let corpus = Corpus::build(&*source, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).unwrap();
    Packer::training(Arc::new(corpus), recipe.stages[0].sequence_length, recipe.seed).unwrap().num_rows()
}

fn saved_recipe(path: &Path) -> Recipe {
    run::load_recipe(&RunPaths::open(path).unwrap()).unwrap()
}

/// A run in epochs over a text that is small enough for a few of them.
fn epochs_recipe(epochs: &str) -> Recipe {
    recipe(&[
        &format!("stages.0.epochs={epochs}"),
        "stages.0.batch_size=64",
        "stages.0.sequence_length=128",
        "stages.0.checkpoint_every=0.5",
        "stages.0.schedule={ wsd = { learning_rate = 3e-3 } }",
    ])
}

#[test]
fn epochs_give_the_steps_once_and_the_run_keeps_them() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let recipe = epochs_recipe("2");
    assert!(recipe.stages[0].is_length_unknown());
    train(&recipe, &path("run"));
    let rows = packed_rows(&recipe);
    let expected = (2 * rows).div_ceil(64) as u64;
    assert_eq!(steps(&path("run")).len() as u64, expected);
    let saved = saved_recipe(&path("run"));
    assert_eq!((saved.stages[0].steps, saved.stages[0].epochs), (expected, Some(2.0)));
    assert_eq!(saved.stages[0].tokens, expected * 64 * 128);
    // The schedule is that of a stage of so many steps.
    let schedule = &saved.stages[0].schedule;
    let rates: Vec<f64> = steps(&path("run")).iter().map(|row| row.learning_rate).collect();
    assert_eq!(rates, (0..expected).map(|step| schedule.learning_rate(step, expected)).collect::<Vec<_>>());
    // The same run with the steps written by hand.
    let mut by_hand = recipe.clone();
    by_hand.stages[0].epochs = None;
    by_hand.stages[0].set_steps(expected);
    train(&by_hand, &path("by-hand"));
    assert_eq!(metric_rows(&path("run")), metric_rows(&path("by-hand")));
    assert!(weights(&path("run"), 0, expected) == weights(&path("by-hand"), 0, expected));
}

#[test]
fn a_run_in_epochs_is_resumed_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let mut recipe = epochs_recipe("1.5");
    let second = StageConfig { name: "second".into(), epochs: Some(0.5), ..recipe.stages[0].clone() };
    recipe.stages.push(second);
    recipe.resolve();
    recipe.check().unwrap();
    train(&recipe, &path("whole"));
    let total = steps(&path("whole")).len() as u64;
    let mut random = Random::new(1, "stops", 0, 0);
    let mut next = |done: u64| Some(done + 1 + random.uniform_int(2) as u64);
    let mut ended = TestRun { stop_after: next(0), ..TestRun::default() }.start(&recipe, &path("run")).unwrap();
    let mut stops = 0;
    while ended.interrupted {
        stops += 1;
        let done = steps(&path("run")).last().map_or(0, |row| row.step);
        ended = TestRun { stop_after: next(done), ..TestRun::default() }.resume(&path("run")).unwrap();
    }
    assert!(stops >= 2 && total > 3, "{stops} stops in {total} steps are no test");
    assert_same_result(&run_result(&path("run")), &run_result(&path("whole")), "resumed");
    assert_eq!(saved_recipe(&path("run")), saved_recipe(&path("whole")));
}

#[test]
fn one_length_counts_and_two_are_refused() {
    let lengths = |sets: &[&str]| {
        let stage = recipe(sets).stages.swap_remove(0);
        (stage.steps, stage.epochs)
    };
    assert_eq!(lengths(&["stages.0.epochs=3"]), (0, Some(3.0)), "an assignment replaces the steps of the recipe");
    assert_eq!(lengths(&["stages.*.epochs=3", "stages.0.steps=7"]), (7, None));
    assert_eq!(lengths(&["stages.0.tokens=3840"]), (10, None));
    let load = |text: &str| Recipe::load(text, Some("r.toml"), &[], &|_, _| unreachable!());
    let error = load("[[stages]]\nsteps = 5\nepochs = 2").unwrap_err();
    assert_eq!((error.path.as_str(), error.line), ("stages[0].epochs", Some(3)));
    for epochs in ["-1", "nan", "1e9"] {
        let error = load(&format!("[[stages]]\nepochs = {epochs}")).unwrap_err();
        assert_eq!(error.path, "stages[0].epochs", "{epochs}");
    }
}

/// A recipe whose validation loss rises after some steps: the learning rate is far too high for the few texts.
fn overfitting_recipe() -> Recipe {
    recipe(&[
        "stages.0.steps=200",
        "stages.0.eval_every=3",
        "stages.0.checkpoint_every=0",
        "stages.0.schedule={ constant = { learning_rate = 0.3, warmup = 0 } }",
        "stages.0.early_stopping={ patience = 2, min_delta = 0.01 }",
    ])
}

fn rows(path: &Path) -> Vec<MetricsRow> {
    load_metrics(&RunPaths::open(path).unwrap()).unwrap()
}

#[test]
fn a_stage_ends_when_the_validation_loss_stops_improving() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(&overfitting_recipe(), &path);
    let losses: Vec<f64> = rows(&path)
        .iter()
        .filter_map(|row| if let MetricsRow::Validation(row) = row { Some(row.loss) } else { None })
        .collect();
    // By the definition: the first evaluation that is the second in a row without an improvement.
    let (mut best, mut worse, mut end) = (f64::INFINITY, 0, None);
    for (index, loss) in losses.iter().enumerate() {
        worse = if *loss < best - 0.01 { 0 } else { worse + 1 };
        best = if worse == 0 { *loss } else { best };
        if worse == 2 {
            end.get_or_insert(index + 1);
        }
    }
    assert_eq!(end, Some(losses.len()), "{losses:?}");
    let done = steps(&path).len() as u64;
    assert!(done == 3 * losses.len() as u64 && done < 200, "{done} steps");
    assert_eq!(stages(&path)[0].checkpoints().newest_step().unwrap(), Some(done), "the last step is saved");
    let MetricsRow::Event(event) = rows(&path).pop().unwrap() else { panic!("no event at the end") };
    assert!(event.detail.starts_with("stopped early: no better validation loss in 2 evaluations; best: "), "{event:?}");
    // It is a finished run.
    let before = run_result(&path);
    assert!(!TestRun::default().resume(&path).unwrap().interrupted);
    assert_same_result(&run_result(&path), &before, "resumed after its early end");
}

#[test]
fn early_stopping_survives_any_stop_and_the_next_stage_follows() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let mut recipe = overfitting_recipe();
    let second = StageConfig { name: "second".into(), early_stopping: None, steps: 3, ..recipe.stages[0].clone() };
    recipe.stages.push(second);
    recipe.resolve();
    train(&recipe, &path("whole"));
    assert_eq!(steps(&path("whole")).last().unwrap().step, 203, "steps count from the planned end of the first stage");
    let mut ended = TestRun { stop_after: Some(2), ..TestRun::default() }.start(&recipe, &path("run")).unwrap();
    while ended.interrupted {
        let next = steps(&path("run")).last().unwrap().step + 2;
        ended = TestRun { stop_after: Some(next), ..TestRun::default() }.resume(&path("run")).unwrap();
    }
    assert_same_result(&run_result(&path("run")), &run_result(&path("whole")), "stopped every two steps");
}
