//! Runs with a frozen model: exact resume, the file of values that are computed once, refusals before weights are loaded.

use crate::training::{
    runs::{TestRun, assert_same_result, recipe, run_result, steps, train},
    subprocess,
};
use kiln_pretrained::PretrainedError;
use kiln_train::{Recipe, TrainError};
use kiln_spec::Random;
use std::{path::Path, thread::sleep, time::{Duration, Instant}};

/// A teacher of two steps in `home`, and the assignment that distills from it.
fn distillation(home: &Path, options: &str) -> Vec<String> {
    let teacher = home.join("teacher");
    if !teacher.exists() {
        train(&recipe(&["stages.0.steps=4", "seed=8"]), &teacher);
    }
    let objective = format!("stages.0.objective={{ distill = {{ teacher = {:?}{options} }} }}", teacher.display().to_string());
    vec![objective, "stages.0.gradient_accumulation=2".into(), "model.dropout=0.1".into(), "stages.0.steps=9".into()]
}

fn with(sets: &[String]) -> Recipe {
    recipe(&sets.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_distillation_that_is_stopped_and_resumed_changes_no_bit() {
    let home = tempfile::tempdir().unwrap();
    let recipe = with(&distillation(home.path(), ", top_k = 16, hidden = { weight = 0.1 }"));
    let path = |name: &str| home.path().join(name);
    train(&recipe, &path("undisturbed"));
    let mut ended = TestRun { stop_after: Some(2), ..TestRun::default() }.start(&recipe, &path("stopped")).unwrap();
    let mut stops = 0;
    while ended.interrupted {
        stops += 1;
        ended = TestRun { stop_after: Some(ended.steps.0 + 3), ..TestRun::default() }.resume(&path("stopped")).unwrap();
    }
    assert!(stops >= 2);
    assert_same_result(&run_result(&path("stopped")), &run_result(&path("undisturbed")), "stopped");
    let steps = steps(&path("undisturbed"));
    assert_eq!(steps[0].metrics.keys().collect::<Vec<_>>(), ["agreement", "cross_entropy", "kl"]);
    assert!(steps.iter().all(|step| step.metrics.values().all(|value| value.is_some_and(f64::is_finite))));
}

/// The student comes nearer to the teacher.
#[test]
fn distillation_lowers_the_divergence() {
    let home = tempfile::tempdir().unwrap();
    let mut sets = distillation(home.path(), ", alpha = 1.0");
    sets.extend(["model.dropout=0.0".into(), "stages.0.steps=24".into()]);
    train(&with(&sets), &home.path().join("run"));
    let divergence: Vec<f64> = steps(&home.path().join("run")).iter().map(|step| step.metrics["kl"].unwrap()).collect();
    assert!(divergence[23] < 0.7 * divergence[0], "{divergence:?}");
}

/// Starts a run that is refused, and returns the error. No folder is left.
#[track_caller]
fn refusal(home: &Path, sets: &[String]) -> TrainError {
    let path = home.join("refused");
    let error = TestRun::default().start(&with(sets), &path).unwrap_err();
    assert!(!path.exists(), "{error}");
    error
}

#[test]
fn frozen_models_that_do_not_fit_are_refused_before_the_run() {
    let home = tempfile::tempdir().unwrap();
    let mut sets = distillation(home.path(), "");
    let fits = sets.clone();
    sets.push("tokenizer={ bpe = { vocab = 320 } }".into());
    let error = refusal(home.path(), &sets);
    let message = error.to_string();
    assert!(message.contains("stages[0].objective.distill.teacher") && message.contains("another tokenizer"), "{message}");
    assert!(error.help().is_some_and(|help| help.contains("same tokenizer")), "{error:?}");

    let mut sets = distillation(home.path(), ", hidden = {}");
    sets.push("model.hidden=48".into());
    let error = refusal(home.path(), &sets).to_string();
    assert!(error.contains("the teacher has 32, the model that is trained 48"), "{error}");

    let mut sets = fits.clone();
    sets[0] = "stages.0.objective={ distill = { teacher = \"nowhere\" } }".into();
    let error = refusal(home.path(), &sets);
    let is_missing = |path: &Path| path.ends_with("nowhere");
    assert!(matches!(&error, TrainError::Pretrained(PretrainedError::NotFound { path, .. }) if is_missing(path)), "{error}");

    sets[0] = "stages.0.objective={ distill = { teacher = \"base\" } }".into();
    let error = refusal(home.path(), &sets).to_string();
    assert!(error.contains("the stage has no adapter"), "{error}");
}

/// Kills a run at random moments until it ends by itself; returns the number of kills. The child process is the test
/// `test` of this module.
fn kill_until_done(test: &str, home: &Path, time: Duration, random: &mut Random) -> usize {
    for kills in 0..200 {
        let mut run = subprocess::rerun_test(module_path!(), test, home, 2).spawn().unwrap();
        sleep(time.mul_f64(0.4 * random.uniform()));
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success(), "after {kills} kills the run fails");
            return kills;
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    panic!("the run never ends");
}

/// In the child process: starts the run in `home/run`, or resumes it.
fn start_or_resume(recipe: &Recipe, home: &Path) {
    let path = home.join("run");
    let run = TestRun::default();
    let ended = if path.join("recipe.toml").exists() { run.resume(&path) } else { run.start(recipe, &path) };
    assert!(!ended.unwrap().interrupted);
}

#[test]
fn a_kill_in_a_distillation_changes_no_bit() {
    let frequent = |home: &Path| {
        let mut sets = distillation(home, ", loss = \"jsd\"");
        sets.extend(["stages.0.checkpoint_every=1".into(), "stages.0.steps=30".into()]);
        with(&sets)
    };
    if let Some(home) = subprocess::folder() {
        return start_or_resume(&frequent(home.parent().unwrap()), &home);
    }
    let home = tempfile::tempdir().unwrap();
    let recipe = frequent(home.path());
    let began = Instant::now();
    train(&recipe, &home.path().join("undisturbed"));
    let (wanted, time) = (run_result(&home.path().join("undisturbed")), began.elapsed());
    let (mut random, mut kills) = (Random::new(12, "kill", 0, 0), 0);
    for round in 0.. {
        let folder = home.path().join(format!("round-{round}"));
        std::fs::create_dir(&folder).unwrap();
        kills += kill_until_done("a_kill_in_a_distillation_changes_no_bit", &folder, time, &mut random);
        assert_same_result(&run_result(&folder.join("run")), &wanted, &format!("round {round}"));
        if kills >= 4 {
            break;
        }
    }
}
