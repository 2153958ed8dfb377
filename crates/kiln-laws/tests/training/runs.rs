//! Small runs, and what they computed.

use burn::tensor::Device;
use kiln_laws::device;
use kiln_spec::{Refusal, config::ConfigError};
use kiln_train::{
    Failure, Objective, Recipe, StageConfig,
    checkpoint::{MODEL, TRAIN, Tensors},
    folder::{RunPaths, Stage},
    metrics::{Row, Step},
    run::{self, Host, News, Outcome, Watch, metrics, resume_with, start_with},
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// A run that takes a moment.
const SMALL: &str = r#"
name = "small"
seed = 3
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.03 } } }

[model]
hidden = 32
[[model.blocks]]
repeat = 2
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["gated"] }]

[[stages]]
steps = 24
length = 64
rows = 6
validations = 2
validation_tokens = 1024
samples = 0
checkpoints = 3
"#;

/// The small recipe with some keys set.
pub fn recipe(sets: &[&str]) -> Recipe {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let nothing =
        |name: &str, _: Option<&str>| Err(ConfigError::from(Refusal::new("extends", format!("no recipe `{name}`"))));
    Recipe::load(SMALL, None, &sets, &nothing).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks a run to stop after a step.
struct StopAfter<'a>(&'a AtomicBool, u64);

impl Watch for StopAfter<'_> {
    fn tell(&mut self, news: News) {
        if let News::Row(Row::Step(step)) = news
            && step.step == self.1
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A way to run: asked to stop after a step or not, for the objectives of the recipe or another one.
pub struct Run<'a> {
    /// The step after which it is asked to stop.
    pub stop: Option<u64>,
    /// What is trained for.
    pub objective: &'a dyn Fn(&StageConfig) -> Box<dyn Objective>,
}

fn named(stage: &StageConfig) -> Box<dyn Objective> {
    stage.objective.build()
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self { stop: None, objective: &named }
    }
}

impl Run<'_> {
    /// Starts a run in `path`.
    pub fn start(&self, recipe: &Recipe, path: &Path) -> Result<Outcome, Failure> {
        self.host(|host| start_with(recipe, Some(path), host, self.objective))
    }

    /// Goes on with it.
    pub fn resume(&self, path: &Path) -> Result<Outcome, Failure> {
        self.host(|host| resume_with(path, host, self.objective))
    }

    fn host<R>(&self, go: impl FnOnce(Host) -> R) -> R {
        let stop = AtomicBool::new(false);
        let mut watch = StopAfter(&stop, self.stop.unwrap_or(u64::MAX));
        go(Host { device: device(), stop: &stop, watch: &mut watch })
    }
}

/// Runs to the end.
pub fn train(recipe: &Recipe, path: &Path) {
    assert!(!Run::default().start(recipe, path).unwrap().interrupted);
}

/// The stages of a run.
pub fn stages(path: &Path) -> Vec<Stage> {
    let paths = RunPaths::open(path).unwrap();
    paths.stages(&run::recipe(&paths).unwrap())
}

/// The weights of a stage after a step, by name.
pub fn weights(path: &Path, stage: usize, step: u64) -> Tensors {
    stages(path)[stage].checkpoints().load_model(step).unwrap().1
}

/// Lines of metrics but for events, without what a clock says.
pub fn rows(path: &Path) -> Vec<String> {
    let timeless = |row: Row| match row {
        Row::Step(row) => Some(Row::Step(Step { seconds: 0.0, ..row })),
        Row::Validation(mut row) => {
            row.seconds = 0.0;
            Some(Row::Validation(row))
        }
        Row::Samples(mut row) => {
            row.seconds = 0.0;
            Some(Row::Samples(row))
        }
        other => (!matches!(other, Row::Event(_))).then_some(other),
    };
    let all = metrics(&RunPaths::open(path).unwrap()).unwrap();
    all.into_iter().filter_map(timeless).map(|row| row.to_line()).collect()
}

/// The steps of a run.
pub fn steps(path: &Path) -> Vec<Step> {
    let all = metrics(&RunPaths::open(path).unwrap()).unwrap();
    all.into_iter().filter_map(|row| if let Row::Step(step) = row { Some(step) } else { None }).collect()
}

/// All that a run computed: rows, and the bytes of each stage's last checkpoint.
#[derive(PartialEq)]
pub struct Computed {
    rows: Vec<String>,
    files: Vec<Vec<u8>>,
}

/// What the run in `path` computed.
pub fn computed(path: &Path) -> Computed {
    let last = |stage: Stage| {
        let checkpoints = stage.checkpoints();
        let folder = checkpoints.folder(checkpoints.newest().unwrap().expect("a checkpoint"));
        [MODEL, TRAIN].map(|name| fs::read(folder.join(name)).unwrap())
    };
    Computed { rows: rows(path), files: stages(path).into_iter().flat_map(last).collect() }
}

/// Fails unless two runs computed the same, to the bit.
#[track_caller]
pub fn same(found: &Computed, wanted: &Computed, what: &str) {
    for (found, wanted) in found.rows.iter().zip(&wanted.rows) {
        assert_eq!(found, wanted, "{what}");
    }
    assert_eq!(found.rows.len(), wanted.rows.len(), "{what}");
    assert!(found.files == wanted.files, "{what}: rows are the same, files are not");
}

/// Where runs compute, with gradients.
pub fn autodiff() -> Device {
    device().autodiff()
}
