//! Runs with pairs of texts: stopped, killed and resumed to the bit, and what they save.

use crate::training::{
    runs::{RunResult, TestRun, assert_same_result, recipe, run_result, train},
    subprocess,
};
use burn::tensor::Device;
use kiln_data::stories;
use kiln_models::Visibility;
use kiln_nn::head::Pooling;
use kiln_pretrained::sentence::{Similarity, VectorModule};
use kiln_train::{
    Recipe, metrics::MetricsRow, objective::Better, pretrained::ModelSource, run::load_metrics, run_folder::RunPaths,
};
use serde_json::json;
use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

const TEST: &str = "stops_and_kills_change_no_bit";
const KILLS: usize = 4;

/// Pairs of sentences of stories; every third with a hard negative.
fn write_pairs(folder: &Path) {
    let rows = (0..120).map(|index| {
        let story = stories::text(1, index);
        let sentences: Vec<&str> = story.split_inclusive(". ").collect();
        let mut row = json!({ "anchor": sentences[0], "positive": sentences[1] });
        if index % 3 == 0 {
            row["negative"] = sentences[2].into();
        }
        row.to_string()
    });
    fs::write(folder.join("pairs.jsonl"), rows.collect::<Vec<_>>().join("\n")).unwrap();
}

/// A recipe that trains on the pairs in `folder`.
fn pairs_recipe(folder: &Path, sets: &[&str]) -> Recipe {
    let source = format!("data={{ source = {{ files = {{ paths = [{:?}] }} }} }}", folder.join("pairs.jsonl"));
    let common = [
        source.as_str(),
        "model.stack=encoder",
        "model.dropout=0.1",
        "stages.0.objective=contrastive",
        "stages.0.sequence_length=384",
        "stages.0.batch_size=3",
        "stages.0.steps=12",
        "stages.0.eval_every=0.5",
    ];
    recipe(&[&common[..], sets].concat())
}

/// In the child process: starts the run, or resumes it.
fn run_child(home: &Path) {
    let path = home.join("run");
    let saved_often = pairs_recipe(home, &["stages.0.checkpoint_every=1"]);
    let run = TestRun::default();
    let ended = if path.join("recipe.toml").exists() { run.resume(&path) } else { run.start(&saved_often, &path) };
    assert!(!ended.unwrap().interrupted);
}

#[test]
fn stops_and_kills_change_no_bit() {
    if let Some(home) = subprocess::folder() {
        return run_child(&home);
    }
    let home = tempfile::tempdir().unwrap();
    write_pairs(home.path());
    let saved_often = pairs_recipe(home.path(), &["stages.0.checkpoint_every=1"]);
    let began = Instant::now();
    train(&saved_often, &home.path().join("undisturbed"));
    let (wanted, time): (RunResult, Duration) = (run_result(&home.path().join("undisturbed")), began.elapsed());

    let stopped = home.path().join("stopped");
    let mut ended = TestRun { stop_after: Some(2), ..TestRun::default() }.start(&saved_often, &stopped).unwrap();
    while ended.interrupted {
        ended = TestRun { stop_after: Some(ended.steps.0 + 3), ..TestRun::default() }.resume(&stopped).unwrap();
    }
    assert_same_result(&run_result(&stopped), &wanted, "stopped");

    for kill in 0..KILLS {
        let mut child = subprocess::rerun_test(module_path!(), TEST, home.path(), 2).spawn().unwrap();
        sleep(time.mul_f64(0.2 * (kill + 1) as f64 / KILLS as f64));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(subprocess::rerun_test(module_path!(), TEST, home.path(), 2).status().unwrap().success());
    assert_same_result(&run_result(&home.path().join("run")), &wanted, "killed");
}

#[test]
fn a_run_keeps_its_metrics_its_pooling_and_its_normalization() {
    let home = tempfile::tempdir().unwrap();
    write_pairs(home.path());
    let run = |name: &str, sets: &[&str]| {
        let path = home.path().join(name);
        train(&pairs_recipe(home.path(), &[&["stages.0.steps=2"], sets].concat()), &path);
        let source = ModelSource::open(&path).unwrap();
        (path, source.sentence_config().unwrap(), source)
    };
    let (path, config, _) = run("mean", &[]);
    assert_eq!(
        (&config.pooling.modes[..], &config.modules[..]),
        (&[Pooling::Mean][..], &[VectorModule::Normalize][..])
    );
    assert_eq!((config.max_length, config.similarity), (Some(384), Similarity::Cosine));
    let rows = load_metrics(&RunPaths::open(&path).unwrap()).unwrap();
    let names = ["accuracy", "mrr", "negative_similarity", "positive_similarity"];
    for row in rows {
        match row {
            MetricsRow::Step(step) => assert!(step.metrics.keys().map(String::as_str).eq(names), "{step:?}"),
            MetricsRow::Validation(row) => {
                assert!(
                    row.metrics.keys().map(String::as_str).eq(names) && row.metrics["mrr"].better == Better::Higher,
                    "{row:?}"
                );
                assert!(row.loss.is_finite() && row.metrics.values().all(|metric| metric.value.is_finite()), "{row:?}");
            }
            _ => {}
        }
    }
    let dot = "stages.0.objective={ contrastive = { normalize = false, pooling = \"cls\" } }";
    let (_, config, _) = run("dot", &[dot]);
    assert_eq!((&config.pooling.modes[..], &config.modules[..]), (&[Pooling::First][..], &[][..]));
    assert_eq!(config.similarity, Similarity::Dot);
    let (_, config, source) = run("causal", &["model.stack=decoder"]);
    let model = source.load_model(&Device::flex()).unwrap().model;
    assert_eq!((config.pooling.modes[0], model.config().visibility), (Pooling::Last, Visibility::Causal));
    let (_, _, source) = run("projected", &["model.head={ embedding = { projection_dim = 12 } }"]);
    let model = source.load_model(&Device::flex()).unwrap().model;
    let config = source.sentence_config_of(&model).unwrap();
    assert!(matches!(config.modules[..], [VectorModule::Dense(_), VectorModule::Normalize]), "{config:?}");
}
