//! A run that starts from another run begins with its last weights.

use crate::training::runs::{TestRun, recipe, steps, train, weights};
use kiln_pretrained::PretrainedError;
use kiln_train::TrainError;
use std::fs;

#[test]
fn a_run_starts_with_the_weights_and_tokenizer_of_another() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let bpe = "tokenizer={ bpe = { vocab = 320 } }";
    let quick = "stages.0.schedule={ constant = { learning_rate = 1e-2 } }";
    train(&recipe(&[bpe, quick, "stages.0.eval_every=1.0"]), &path("first"));
    let from = format!("from={:?}", path("first").display().to_string());
    // A warmup's first step moves nothing. The recipe's own tokenizer would have another vocabulary.
    let sets = [
        &from,
        "seed=9",
        "stages.0.steps=4",
        "stages.0.checkpoint_every=1",
        "stages.0.keep_checkpoints=9",
        "stages.0.schedule={ linear = { warmup = 2 } }",
    ];
    train(&recipe(&sets), &path("second"));
    assert_eq!(
        fs::read(path("first").join("tokenizer.json")).unwrap(),
        fs::read(path("second").join("tokenizer.json")).unwrap()
    );
    assert!(weights(&path("second"), 0, 1) == weights(&path("first"), 0, 24));
    assert!(weights(&path("second"), 0, 4) != weights(&path("first"), 0, 24));
    let first = steps(&path("first"));
    assert!(steps(&path("second"))[0].loss < first[0].loss - 0.5, "it begins as if from scratch");
    // Once it saved something, it goes on without the other.
    let stopped = TestRun { stop_after: Some(2), ..TestRun::default() };
    assert!(stopped.start(&recipe(&sets), &path("third")).unwrap().interrupted);
    fs::rename(path("first"), path("elsewhere")).unwrap();
    assert!(!TestRun::default().resume(&path("third")).unwrap().interrupted);
    assert!(weights(&path("third"), 0, 4) == weights(&path("second"), 0, 4));
}

#[test]
fn an_unusable_start_is_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let from = |name: &str| format!("from={:?}", path(name).display().to_string());
    train(&recipe(&["stages.0.steps=1"]), &path("first"));
    let gone = TestRun::default().start(&recipe(&[&from("gone")]), &path("a")).unwrap_err();
    assert!(
        matches!(&gone, TrainError::Pretrained(PretrainedError::NotFound { path, .. }) if path.ends_with("gone")),
        "{gone}"
    );
    let wider = TestRun::default().start(&recipe(&[&from("first"), "model.hidden=48"]), &path("b")).unwrap_err();
    assert!(matches!(wider, TrainError::WeightMismatch { .. }), "{wider}");
    assert!(wider.to_string().contains("~ embedding: expected [297, 48], found [297, 32]"), "{wider}");
}
