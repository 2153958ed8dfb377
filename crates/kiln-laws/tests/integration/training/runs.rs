//! Small training runs, and their results.

use burn::tensor::Device;
use kiln_laws::device;
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::{
    Objective, Recipe, StageConfig, TrainError,
    checkpoint::{MODEL_FILE, NamedTensors, TRAIN_FILE},
    metrics::{MetricsRow, StepMetrics},
    run::{
        self, ProgressEvent, ProgressListener, RunContext, RunOutcome, load_metrics, resume_with_objectives,
        start_with_objectives,
    },
    run_folder::{RunPaths, StageFolder},
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// A recipe that trains in less than a second.
const SMALL_RECIPE: &str = r#"
name = "small"
seed = 3
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.03 } } }

[model]
hidden = 32
[[model.blocks]]
repeat = 2
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["gated_mlp"] }]

[[stages]]
steps = 24
sequence_length = 64
batch_size = 6
eval_every = 0.5
eval_tokens = 1024
num_samples = 0
checkpoint_every = 0.3333333333333333
"#;

/// The small recipe with some keys set, as by `--set`.
pub fn recipe(sets: &[&str]) -> Recipe {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let nothing = |name: &str, _: Option<&str>| {
        Err(ConfigError::from(ValidationError::new("extends", format!("no recipe `{name}`"))))
    };
    Recipe::load(SMALL_RECIPE, None, &sets, &nothing).unwrap_or_else(|error| panic!("{error}"))
}

/// Stops a run after a step, as Ctrl-C does.
struct StopAfter<'a>(&'a AtomicBool, u64);

impl ProgressListener for StopAfter<'_> {
    fn on_event(&mut self, news: ProgressEvent) {
        if let ProgressEvent::Metrics(MetricsRow::Step(step)) = news
            && step.step == self.1
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Options of a test run.
pub struct TestRun<'a> {
    /// Step after which the run is stopped; `None`: it runs to its end.
    pub stop_after: Option<u64>,
    /// Objective of a stage; by default that of the recipe.
    pub objective: &'a dyn Fn(&StageConfig) -> Box<dyn Objective>,
}

fn recipe_objective(stage: &StageConfig) -> Box<dyn Objective> {
    stage.objective.build()
}

impl Default for TestRun<'_> {
    fn default() -> Self {
        Self { stop_after: None, objective: &recipe_objective }
    }
}

impl TestRun<'_> {
    /// Starts a run in `path`.
    pub fn start(&self, recipe: &Recipe, path: &Path) -> Result<RunOutcome, TrainError> {
        self.with_host(|host| start_with_objectives(recipe, Some(path), host, self.objective))
    }

    /// Resumes the run in `path`.
    pub fn resume(&self, path: &Path) -> Result<RunOutcome, TrainError> {
        self.with_host(|host| resume_with_objectives(path, host, self.objective))
    }

    fn with_host<R>(&self, go: impl FnOnce(RunContext) -> R) -> R {
        let stop = AtomicBool::new(false);
        let mut watch = StopAfter(&stop, self.stop_after.unwrap_or(u64::MAX));
        go(RunContext { device: device(), stop_flag: &stop, listener: &mut watch })
    }
}

/// Trains to the end in `path`.
pub fn train(recipe: &Recipe, path: &Path) {
    assert!(!TestRun::default().start(recipe, path).unwrap().interrupted);
}

/// Folders of the stages of a run.
pub fn stages(path: &Path) -> Vec<StageFolder> {
    let paths = RunPaths::open(path).unwrap();
    paths.stages(&run::load_recipe(&paths).unwrap())
}

/// Weights of a stage after a step, by name.
pub fn weights(path: &Path, stage: usize, step: u64) -> NamedTensors {
    stages(path)[stage].checkpoints().load_model(step).unwrap().1
}

/// Lines of the metrics without events and times.
pub fn metric_rows(path: &Path) -> Vec<String> {
    let timeless = |row: MetricsRow| match row {
        MetricsRow::Step(row) => Some(MetricsRow::Step(StepMetrics { seconds: 0.0, ..row })),
        MetricsRow::Validation(mut row) => {
            row.seconds = 0.0;
            Some(MetricsRow::Validation(row))
        }
        MetricsRow::Samples(mut row) => {
            row.seconds = 0.0;
            Some(MetricsRow::Samples(row))
        }
        other => (!matches!(other, MetricsRow::Event(_))).then_some(other),
    };
    let all = load_metrics(&RunPaths::open(path).unwrap()).unwrap();
    all.into_iter().filter_map(timeless).map(|row| row.to_json_line()).collect()
}

/// Metrics of the steps of a run.
pub fn steps(path: &Path) -> Vec<StepMetrics> {
    let all = load_metrics(&RunPaths::open(path).unwrap()).unwrap();
    all.into_iter().filter_map(|row| if let MetricsRow::Step(step) = row { Some(step) } else { None }).collect()
}

/// Results of a run: metrics, and the bytes of each stage's last checkpoint.
#[derive(PartialEq)]
pub struct RunResult {
    rows: Vec<String>,
    files: Vec<Vec<u8>>,
}

/// Results of the run in `path`.
pub fn run_result(path: &Path) -> RunResult {
    let last = |stage: StageFolder| {
        let checkpoints = stage.checkpoints();
        let folder = checkpoints.folder(checkpoints.newest_step().unwrap().expect("a checkpoint"));
        [MODEL_FILE, TRAIN_FILE].map(|name| fs::read(folder.join(name)).unwrap())
    };
    RunResult { rows: metric_rows(path), files: stages(path).into_iter().flat_map(last).collect() }
}

/// Asserts that two runs have the same results, to the bit.
#[track_caller]
pub fn assert_same_result(found: &RunResult, wanted: &RunResult, what: &str) {
    for (found, wanted) in found.rows.iter().zip(&wanted.rows) {
        assert_eq!(found, wanted, "{what}");
    }
    assert_eq!(found.rows.len(), wanted.rows.len(), "{what}");
    assert!(found.files == wanted.files, "{what}: rows are the same, files are not");
}

/// The device of the laws with autodiff.
pub fn autodiff() -> Device {
    device().autodiff()
}
