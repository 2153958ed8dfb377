//! Frozen parameters do not change.

use crate::training::runs::{TestRun, recipe, train, weights};
use kiln_train::TrainError;

/// Names of parameters that changed between steps 1 and 4 of a run with these keys.
fn moved_parameters(trains: &str) -> (Vec<String>, usize) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let sets = [
        "stages.0.steps=4",
        "stages.0.checkpoint_every=1",
        "stages.0.keep_checkpoints=9",
        "stages.0.schedule=constant",
    ];
    train(&recipe(&[&sets[..], &[&format!("stages.0.trainable={trains}")]].concat()), &path);
    let (before, after) = (weights(&path, 0, 1), weights(&path, 0, 4));
    let moved = before.iter().filter(|(name, raw)| after[*name] != **raw).map(|(name, _)| name.clone()).collect();
    (moved, before.len())
}

#[test]
fn only_matching_parameters_change() {
    let (all, count) = moved_parameters(r#"["*"]"#);
    assert_eq!(all.len(), count);
    let (some, _) = moved_parameters(r#"["blocks.1.attention.*", "norm.weight"]"#);
    assert_eq!(
        some,
        ["k", "o", "q", "v"]
            .map(|m| format!("blocks.1.attention.{m}.weight"))
            .iter()
            .map(String::as_str)
            .chain(["norm.weight"])
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_pattern_without_a_match_is_refused_at_its_path() {
    let home = tempfile::tempdir().unwrap();
    let recipe = recipe(&[r#"stages.0.trainable=["norm.weight", "blocks.*.atention.*"]"#]);
    let failure = TestRun::default().start(&recipe, &home.path().join("run")).unwrap_err();
    assert!(matches!(failure, TrainError::Config(_)), "{failure}");
    let (said, place) = (failure.to_string(), failure.location().unwrap_or_default());
    assert!(said.contains("`blocks.*.atention.*`"), "{said}");
    assert!(said.contains("stages[0].trainable") || place.contains("stages[0].trainable"), "{said} at {place}");
}
