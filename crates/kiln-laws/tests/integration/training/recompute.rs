//! A run with gradient checkpointing equals one without.

use crate::training::runs::{TestRun, metric_rows, recipe, train, weights};
use std::path::Path;

/// A recipe with dropout, micro-batches, depth rules with auxiliary losses, and a frozen embedding.
const SETTINGS: [&str; 6] = [
    "stages.0.steps=6",
    "stages.0.gradient_accumulation=2",
    "stages.0.ema_decay=0.9",
    "model.dropout=0.1",
    "stages.0.trainable=[\"blocks.*\", \"norm*\"]",
    "model.blocks=[{ repeat = 2, depth = { mixture_of_depths = { capacity = 0.4 } }, sublayers = [{ parts = [\"attention\", \
     \"gated_mlp\"] }] }, { depth = { layer_drop = { rate = 0.5 } }, sublayers = [{ junction = \"sandwich\", parts = \
     [\"gated_mlp\"] }] }, { sublayers = [{ parts = [\"attention\"] }] }]",
];

fn run(path: &Path, recompute: &str, more: &[&str]) -> Vec<String> {
    let recompute = format!("stages.0.gradient_checkpointing=\"{recompute}\"");
    train(&recipe(&[&SETTINGS[..], &[&recompute], more].concat()), path);
    metric_rows(path)
}

#[test]
fn metrics_and_weights_are_the_same() {
    let home = tempfile::tempdir().unwrap();
    for (name, more) in
        [("frozen", vec![]), ("whole", vec!["stages.0.trainable=[\"*\"]", "stages.0.gradient_accumulation=1"])]
    {
        let [kept, again] = ["none", "block"].map(|recompute| {
            let path = home.path().join(format!("{name}-{recompute}"));
            (run(&path, recompute, &more), weights(&path, 0, 6))
        });
        assert!(kept.0.iter().any(|row| row.contains("depth.predictor")), "{:?}", kept.0);
        assert_eq!(kept.0, again.0, "{name}");
        assert!(kept.1 == again.1, "{name}: rows are the same, weights are not");
    }
}

#[test]
fn a_stopped_run_resumes_exactly() {
    let home = tempfile::tempdir().unwrap();
    let (whole, stopped) = (home.path().join("whole"), home.path().join("stopped"));
    let wanted = run(&whole, "block", &[]);
    let recipe = recipe(&[&SETTINGS[..], &["stages.0.gradient_checkpointing=\"block\""]].concat());
    assert!(TestRun { stop_after: Some(2), ..TestRun::default() }.start(&recipe, &stopped).unwrap().interrupted);
    assert!(!TestRun::default().resume(&stopped).unwrap().interrupted);
    assert_eq!(metric_rows(&stopped), wanted);
}
