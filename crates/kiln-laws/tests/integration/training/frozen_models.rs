//! Runs with a frozen model: exact resume, the file of values that are computed once, refusals before weights are loaded.

use crate::training::{
    runs::{TestRun, assert_same_result, metric_rows, recipe, run_result, stages, steps, train, weights},
    subprocess,
};
use kiln_data::stories;
use kiln_pretrained::PretrainedError;
use kiln_spec::Random;
use kiln_train::{Recipe, TrainError};
use std::{
    fmt::Write,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// A teacher of two steps in `home`, and the assignment that distills from it.
fn distillation(home: &Path, options: &str) -> Vec<String> {
    let teacher = home.join("teacher");
    if !teacher.exists() {
        train(&recipe(&["stages.0.steps=4", "seed=8"]), &teacher);
    }
    let objective =
        format!("stages.0.objective={{ distill = {{ teacher = {:?}{options} }} }}", teacher.display().to_string());
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
    assert!(
        message.contains("stages[0].objective.distill.teacher") && message.contains("another tokenizer"),
        "{message}"
    );
    assert!(error.help().is_some_and(|help| help.contains("same tokenizer")), "{error:?}");

    let mut sets = distillation(home.path(), ", hidden = {}");
    sets.push("model.hidden=48".into());
    let error = refusal(home.path(), &sets).to_string();
    assert!(error.contains("the teacher has 32, the model that is trained 48"), "{error}");

    let mut sets = fits.clone();
    sets[0] = "stages.0.objective={ distill = { teacher = \"nowhere\" } }".into();
    let error = refusal(home.path(), &sets);
    let is_missing = |path: &Path| path.ends_with("nowhere");
    assert!(
        matches!(&error, TrainError::Pretrained(PretrainedError::NotFound { path, .. }) if is_missing(path)),
        "{error}"
    );

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

/// Assignments for preference optimization on short pairs, which are written to `home/pairs.jsonl`.
fn preferences(home: &Path, options: &str) -> Vec<String> {
    let file = home.join("pairs.jsonl");
    if !file.exists() {
        let mut rows = String::new();
        for stories::StoryPreference { prompt, chosen, rejected } in (0..160).map(|index| stories::preference(4, index))
        {
            // Both answers from a little before their first difference on.
            let same = chosen.bytes().zip(rejected.bytes()).take_while(|(a, b)| a == b).count();
            let part = |text: &str| text[same.min(text.len() - 1)..].chars().take(20).collect::<String>();
            let prompt = &format!("{prompt}{}", &chosen[..same])[(prompt.len() + same).saturating_sub(16)..];
            let row = serde_json::json!({ "prompt": prompt, "chosen": part(&chosen), "rejected": part(&rejected) });
            if part(&chosen) != part(&rejected) {
                writeln!(rows, "{row}").unwrap();
            }
        }
        fs::write(&file, rows).unwrap();
    }
    vec![
        format!("data={{ source = {{ files = {{ paths = [{:?}] }} }}, validation = 0.1 }}", file.display().to_string()),
        format!("stages.0.objective={{ preference = {{ {options} }} }}"),
        "stages.0.sequence_length=128".into(),
        "stages.0.gradient_accumulation=2".into(),
        "stages.0.steps=9".into(),
        "model.dropout=0.1".into(),
    ]
}

#[test]
fn a_reference_that_is_computed_once_changes_no_bit() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    train(&with(&preferences(home.path(), "")), &path("direct"));
    let recipe = with(&preferences(home.path(), "precompute = true"));
    train(&recipe, &path("once"));
    assert_eq!(metric_rows(&path("direct")), metric_rows(&path("once")));
    let has_file = |name: &str| stages(&path(name))[0].path.join("reference.safetensors").exists();
    assert_eq!([has_file("direct"), has_file("once")], [false, true]);
    assert!(weights(&path("direct"), 0, 9) == weights(&path("once"), 0, 9));
    let losses: Vec<f64> = steps(&path("once")).iter().map(|step| step.loss).collect();
    assert!((losses[0] - std::f64::consts::LN_2).abs() < 0.1 && losses[8] != losses[0], "{losses:?}");

    let wanted = run_result(&path("once"));
    let mut ended = TestRun { stop_after: Some(3), ..TestRun::default() }.start(&recipe, &path("stopped")).unwrap();
    assert!(ended.interrupted);
    // A damaged file is computed again.
    let file = stages(&path("stopped"))[0].path.join("reference.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    while ended.interrupted {
        ended = TestRun { stop_after: Some(ended.steps.0 + 3), ..TestRun::default() }.resume(&path("stopped")).unwrap();
    }
    assert_same_result(&run_result(&path("stopped")), &wanted, "stopped");
    assert_eq!(
        fs::read(&file).unwrap(),
        fs::read(stages(&path("once"))[0].path.join("reference.safetensors")).unwrap()
    );
}

/// A resumed run does not need the reference any more.
#[test]
fn a_resumed_run_reads_the_values_and_not_the_reference() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    train(&recipe(&["stages.0.steps=4", "seed=8", "model.hidden=48"]), &path("reference"));
    let reference = path("reference").display().to_string();
    let recipe = with(&preferences(home.path(), &format!("precompute = true, reference = {reference:?}")));
    train(&recipe, &path("undisturbed"));
    assert!(
        TestRun { stop_after: Some(4), ..TestRun::default() }.start(&recipe, &path("stopped")).unwrap().interrupted
    );
    fs::rename(path("reference"), path("elsewhere")).unwrap();
    assert!(!TestRun::default().resume(&path("stopped")).unwrap().interrupted);
    assert_same_result(&run_result(&path("stopped")), &run_result(&path("undisturbed")), "without the reference");
}

#[test]
fn a_kill_in_a_preference_optimization_changes_no_bit() {
    let frequent = |home: &Path| {
        let mut sets = preferences(home, "loss = \"ipo\", precompute = true");
        sets.extend([
            "stages.0.checkpoint_every=1".into(),
            "stages.0.steps=20".into(),
            "stages.0.adapter=\"lora\"".into(),
        ]);
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
    let (mut random, mut kills) = (Random::new(13, "kill", 0, 0), 0);
    for round in 0.. {
        let folder = home.path().join(format!("round-{round}"));
        fs::create_dir(&folder).unwrap();
        kills += kill_until_done("a_kill_in_a_preference_optimization_changes_no_bit", &folder, time, &mut random);
        assert_same_result(&run_result(&folder.join("run")), &wanted, &format!("round {round}"));
        if kills >= 4 {
            break;
        }
    }
}

#[test]
fn every_loss_trains_with_every_reference() {
    let home = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("base", "reference = \"base\""),
        ("start", "loss = \"hinge\""),
        ("free", "loss = \"simpo\""),
        ("sft", "loss = \"orpo\", sft_weight = 0.5"),
    ] {
        let mut sets = preferences(home.path(), options);
        sets.extend(["stages.0.steps=3".into(), "stages.0.adapter=\"lora\"".into()]);
        train(&with(&sets), &home.path().join(name));
        let steps = steps(&home.path().join(name));
        let has_reference = steps[0].metrics.contains_key("chosen_log_ratio");
        assert_eq!(has_reference, ["base", "start"].contains(&name));
        assert!(steps.iter().all(|step| step.loss.is_finite()), "{name}");
    }
    let mut sets = preferences(home.path(), "reference = \"base\"");
    sets.extend(["stages.0.adapter=\"lora\"".into(), "stages.0.trainable=[\"norm*\"]".into()]);
    let error = TestRun::default().start(&with(&sets), &home.path().join("both")).unwrap_err().to_string();
    assert!(error.contains("`trainable` names weights of the model itself"), "{error}");
}
