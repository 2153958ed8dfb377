//! A process that saves checkpoints is killed by SIGKILL many times.
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::*;
use super::{child, file_names, sample};

/// Kills: at least, and at most. A busy machine needs more until enough are in the middle of a save.
const ROUNDS: std::ops::Range<u64> = 40..400;

/// Kills that must be in the middle of a save.
const MIN_IN_THE_MIDDLE: u64 = 11;

/// Validation losses that go up and down, so that the best is now an old checkpoint, now a new one.
fn value(step: u64) -> Option<f64> {
    (!step.is_multiple_of(5)).then_some((step * 37 % 101) as f64 + 0.5)
}

fn at(step: u64) -> Checkpoint {
    sample(step, value(step), 40_000)
}

fn save_until_killed(root: &Path) {
    let checkpoints = Checkpoints::new(root);
    checkpoints.recover().unwrap();
    let first = checkpoints.newest_step().unwrap().map_or(1, |step| step + 1);
    for step in first.. {
        checkpoints.save(&at(step), Retention { keep_last: 2 }).unwrap();
    }
}

/// Waits until the child has saved something.
fn wait_for_a_save(child: &mut Child, checkpoints: &Checkpoints, before: Option<u64>) {
    let start = Instant::now();
    while checkpoints.newest_step().unwrap() == before {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        assert!(start.elapsed() < Duration::from_secs(60), "the child saves nothing");
        sleep(Duration::from_millis(1));
    }
}

/// The best of all steps so far, which every process must agree on, whichever of them saved it.
fn best_until(step: u64) -> Option<u64> {
    let measured = (1..=step).filter_map(|step| value(step).map(|value| (value, step)));
    measured.min_by(|a, b| a.partial_cmp(b).unwrap()).map(|(_, step)| step)
}

#[test]
fn a_kill_at_any_moment_damages_no_checkpoint() {
    if let Some(root) = child::folder() {
        save_until_killed(&root);
    }
    let home = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(home.path());
    let (mut before, mut in_the_middle) = (None, 0);
    for round in 0..ROUNDS.end {
        if round >= ROUNDS.start && in_the_middle >= MIN_IN_THE_MIDDLE {
            break;
        }
        let mut child =
            child::again(module_path!(), "a_kill_at_any_moment_damages_no_checkpoint", home.path()).spawn().unwrap();
        wait_for_a_save(&mut child, &checkpoints, before);
        sleep(Duration::from_micros(round * 7919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        in_the_middle += u64::from(file_names(home.path()).unwrap().iter().any(|name| name.starts_with('.')));
        checkpoints.recover().unwrap();
        before = check(&checkpoints, before);
    }
    assert!(in_the_middle >= MIN_IN_THE_MIDDLE, "only {in_the_middle} kills were in the middle of a save");
}

/// Checks that all visible checkpoints are complete, none is lost, and no temporary file is left. Returns the last step.
fn check(checkpoints: &Checkpoints, before: Option<u64>) -> Option<u64> {
    let steps = checkpoints.steps().unwrap();
    let newest = *steps.last().unwrap();
    assert!(Some(newest) >= before);
    for &step in &steps {
        assert_eq!(checkpoints.load(step).unwrap(), at(step));
    }
    assert_eq!(checkpoints.best_step().unwrap(), best_until(newest));
    let hidden = file_names(checkpoints.root()).unwrap().into_iter().find(|name| name.starts_with('.'));
    assert_eq!(hidden, None);
    Some(newest)
}
