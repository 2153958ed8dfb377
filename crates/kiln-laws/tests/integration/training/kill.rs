//! Kill −9 at random moments of a run, many times.

use crate::training::{
    runs::{RunResult, TestRun, assert_same_result, recipe, run_result, train},
    subprocess,
};
use kiln_spec::Random;
use kiln_train::Recipe;
use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

const KILLS: usize = 12;
const TEST: &str = "a_kill_at_any_moment_changes_no_bit";

/// A run that saves a checkpoint at every step, so that many kills happen while it saves.
fn frequent_save_recipe() -> Recipe {
    recipe(&["stages.0.steps=60", "stages.0.checkpoint_every=1", "stages.0.eval_every=0.25", "model.dropout=0.1"])
}

/// In the child process: starts the run, or resumes it.
fn run_child(home: &Path) {
    let path = home.join("run");
    let run = TestRun::default();
    let ended =
        if path.join("recipe.toml").exists() { run.resume(&path) } else { run.start(&frequent_save_recipe(), &path) };
    assert!(!ended.unwrap().interrupted);
}

/// Kills a run at random moments, at most 0.2 · `time` after its process started, until it ends by itself. Returns the
/// number of kills.
fn run_with_kills(home: &Path, time: Duration, random: &mut Random) -> usize {
    for kills in 0..200 {
        let mut run = subprocess::rerun_test(module_path!(), TEST, home, 2).spawn().unwrap();
        sleep(time.mul_f64(0.2 * random.uniform()));
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success(), "after {kills} kills the run fails");
            return kills;
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    panic!("the run never ends");
}

#[test]
fn a_kill_at_any_moment_changes_no_bit() {
    if let Some(home) = subprocess::folder() {
        return run_child(&home);
    }
    let home = tempfile::tempdir().unwrap();
    let began = Instant::now();
    train(&frequent_save_recipe(), &home.path().join("undisturbed"));
    let (wanted, time): (RunResult, _) = (run_result(&home.path().join("undisturbed")), began.elapsed());
    let (mut random, mut kills) = (Random::new(11, "kill", 0, 0), 0);
    for round in 0.. {
        let home = home.path().join(round.to_string());
        kills += run_with_kills(&home, time, &mut random);
        assert_same_result(&run_result(&home.join("run")), &wanted, &format!("round {round}"));
        if kills >= KILLS {
            break;
        }
    }
}
