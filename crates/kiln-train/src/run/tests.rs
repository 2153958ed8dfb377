//! Runs in memory and on disk are the same runs.

use super::*;
use crate::{
    Recipe, TrainError,
    checkpoint::{MODEL_FILE, STATE_FILE, TRAIN_FILE},
    metrics::{MetricsRow, StepMetrics},
    run_folder::RunPaths,
    storage::{MemoryStorage, tests::faulty::FaultyStorage},
};
use kiln_infer::block_on;
use kiln_models::WeightPrecision;
use kiln_spec::{ValidationError, config::ConfigError};
use std::{
    cell::Cell,
    path::Path,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

const RECIPE: &str = r#"
name = "tiny"
seed = 3
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.01 } } }
log = ["csv", "tensorboard"]

[model]
hidden = 8
[[model.blocks]]
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["gated_mlp"] }]

[[stages]]
name = "one"
steps = 8
sequence_length = 32
batch_size = 2
ema_decay = 0.9
eval_every = 4
eval_tokens = 128
num_samples = 1
sample_tokens = 4
checkpoint_every = 3

[[stages]]
name = "two"
steps = 4
sequence_length = 32
batch_size = 2
eval_every = 0
eval_tokens = 128
num_samples = 0
"#;

/// Number of steps of the recipe.
const STEPS: u64 = 12;

/// The folder of the run in its storage.
const RUN: &str = "runs/tiny";

fn recipe() -> Recipe {
    recipe_with(&[])
}

fn recipe_with(sets: &[String]) -> Recipe {
    let nothing = |name: &str, _: Option<&str>| {
        Err(ConfigError::from(ValidationError::new("extends", format!("no recipe `{name}`"))))
    };
    Recipe::load(RECIPE, None, sets, &nothing).unwrap_or_else(|error| panic!("{error}"))
}

/// Stops a run after a step.
struct StopAfter<'a>(&'a AtomicBool, u64);

impl ProgressListener for StopAfter<'_> {
    fn on_event(&mut self, event: ProgressEvent) {
        if let ProgressEvent::Metrics(MetricsRow::Step(row)) = event
            && row.step == self.1
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Calls `run` with a context that stops it after a step.
fn with_context<R>(stop_after: u64, run: impl FnOnce(RunContext) -> R) -> R {
    let stop = AtomicBool::new(false);
    let mut listener = StopAfter(&stop, stop_after);
    run(RunContext { device: Device::flex(), stop_flag: &stop, listener: &mut listener })
}

fn start_in_memory(storage: &MemoryStorage, stop_after: u64) -> RunOutcome {
    let environment = Environment::new(Arc::new(storage.clone()), &Untimed);
    with_context(stop_after, |context| block_on(start_in(&recipe(), Some(Path::new(RUN)), &environment, context)))
        .unwrap()
}

fn resume_in_memory(storage: &MemoryStorage) -> Result<RunOutcome, TrainError> {
    let environment = Environment::new(Arc::new(storage.clone()), &Untimed);
    with_context(STEPS, |context| block_on(resume_in(Path::new(RUN), &environment, context)))
}

/// The rows of the metrics without events and times.
fn timeless_rows(paths: &RunPaths) -> Vec<MetricsRow> {
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
        _ => None,
    };
    load_metrics(paths).unwrap().into_iter().filter_map(timeless).collect()
}

/// What a run has computed: its rows, and the tensor files of the last checkpoint of each stage.
#[derive(PartialEq)]
struct Results {
    rows: Vec<MetricsRow>,
    files: Vec<Vec<u8>>,
}

fn results(paths: &RunPaths) -> Results {
    let stages = paths.stages(&load_recipe(paths).unwrap());
    let files = stages.iter().flat_map(|stage| {
        let checkpoints = stage.checkpoints();
        let folder = checkpoints.folder(checkpoints.newest_step().unwrap().expect("a checkpoint"));
        [MODEL_FILE, TRAIN_FILE].map(|name| paths.storage().read(&folder.join(name)).unwrap())
    });
    Results { rows: timeless_rows(paths), files: files.collect() }
}

fn memory_results(storage: &MemoryStorage) -> Results {
    results(&RunPaths::open_in(Arc::new(storage.clone()), Path::new(RUN)).unwrap())
}

fn assert_same(found: &Results, expected: &Results) {
    assert_eq!(found.rows, expected.rows);
    assert_eq!(found.files.len(), 4);
    assert!(found.files == expected.files, "the tensor files differ");
}

/// A run in memory that was never interrupted.
fn uninterrupted() -> (MemoryStorage, Results) {
    let storage = MemoryStorage::new();
    assert_eq!(start_in_memory(&storage, STEPS + 1).steps, (4, 4));
    let results = memory_results(&storage);
    (storage, results)
}

#[test]
fn a_run_in_memory_resumes_to_the_same_bits() {
    let (_, expected) = uninterrupted();
    for step in [5, 8, 10] {
        let storage = MemoryStorage::new();
        start_in_memory(&storage, step);
        let moved = MemoryStorage::from_files(storage.files().into_iter().map(|(path, bytes)| (path, bytes.to_vec())));
        assert!(!resume_in_memory(&moved).unwrap().interrupted);
        assert_same(&memory_results(&moved), &expected);
    }
}

#[test]
fn a_run_in_memory_is_locked_and_its_model_is_loaded() {
    let (storage, _) = uninterrupted();
    let shared: Arc<dyn crate::storage::Storage> = Arc::new(storage.clone());
    let lock = shared.lock_run(Path::new(RUN)).unwrap();
    assert_eq!(resume_in_memory(&storage).unwrap_err().kind(), "locked");
    drop(lock);
    let paths = RunPaths::open_in(shared, Path::new(RUN)).unwrap();
    let load = |choice| load_in(&paths, choice, &Device::flex(), WeightPrecision::Keep);
    let loaded = load(CheckpointChoice::Step(6)).unwrap();
    assert_eq!((loaded.stage, loaded.step, loaded.model.config().hidden), (0, 6, 8));
    assert_eq!(load(CheckpointChoice::Step(5)).err().unwrap().kind(), "no-checkpoint");
}

/// A kill after any write leaves a run that resumes to the same results, or no run.
#[test]
fn a_run_that_fails_at_any_write_resumes_to_the_same_bits() {
    let (whole, expected) = uninterrupted();
    let writes: Vec<usize> = (0..9).chain((9..400).step_by(13)).collect();
    let mut resumed = 0;
    for writes in writes {
        let storage = MemoryStorage::new();
        let failing = Arc::new(FaultyStorage::new(storage.clone(), writes));
        let environment = Environment::new(failing, &Untimed);
        let started = with_context(STEPS + 1, |context| {
            block_on(start_in(&recipe(), Some(Path::new(RUN)), &environment, context))
        });
        if started.is_ok() {
            assert!(storage.files().len() == whole.files().len());
            break;
        }
        match resume_in_memory(&storage) {
            Ok(outcome) => {
                assert!(!outcome.interrupted);
                assert_same(&memory_results(&storage), &expected);
                resumed += 1;
            }
            Err(error) => assert_eq!(error.kind(), "not-a-run", "after {writes} writes: {error}"),
        }
    }
    assert!(resumed > 5, "{resumed} runs were resumed");
}

/// A runtime whose clock counts the moments for other work, and that stops the run at one of them.
struct Counting<'a> {
    moments: Cell<u64>,
    stop_at: u64,
    stop: &'a AtomicBool,
}

impl Runtime for Counting<'_> {
    fn now(&self) -> Duration {
        Duration::from_secs(self.moments.get())
    }

    fn unix_time(&self) -> f64 {
        0.0
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.moments.set(self.moments.get() + 1);
        self.stop.fetch_or(self.moments.get() == self.stop_at, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

/// Notes the moments for other work before each event.
struct Moments<'a>(&'a Counting<'a>, Vec<(&'static str, u64)>);

impl ProgressListener for Moments<'_> {
    fn on_event(&mut self, event: ProgressEvent) {
        let name = match event {
            ProgressEvent::TrainingTokenizer => "tokenizer",
            ProgressEvent::ReadingText(..) => "text",
            ProgressEvent::Metrics(MetricsRow::Step(_)) => "step",
            ProgressEvent::Metrics(MetricsRow::Validation(_)) => "validation",
            ProgressEvent::Metrics(MetricsRow::Samples(_)) => "samples",
            _ => return,
        };
        self.1.push((name, self.0.moments.get()));
    }
}

/// Starts a run of a recipe in memory that is stopped at a moment for other work. Returns its outcome, and the moments of its
/// events.
fn start_counted(recipe: &Recipe, storage: &MemoryStorage, stop_at: u64) -> (RunOutcome, Vec<(&'static str, u64)>) {
    let stop = AtomicBool::new(false);
    let runtime = Counting { moments: Cell::new(0), stop_at, stop: &stop };
    let mut listener = Moments(&runtime, Vec::new());
    let environment = Environment::new(Arc::new(storage.clone()), &runtime);
    let context = RunContext { device: Device::flex(), stop_flag: &stop, listener: &mut listener };
    let outcome = block_on(start_in(recipe, Some(Path::new(RUN)), &environment, context)).unwrap();
    (outcome, listener.1)
}

/// A recipe whose tokenizer has to learn merges, and with more text than fits between two moments.
fn recipe_with_preparation() -> Recipe {
    recipe_with(&["tokenizer={ bpe = { vocab = 400 } }".into(), "data.source.stories.megabytes=0.3".into()])
}

#[test]
fn other_work_has_moments_in_every_part_of_a_run() {
    let storage = MemoryStorage::new();
    let (_, events) = start_counted(&recipe_with_preparation(), &storage, u64::MAX);
    let gap = |from: &str, to: &str| {
        let pairs = events.windows(2).filter(|pair| (pair[0].0, pair[1].0) == (from, to));
        pairs.map(|pair| pair[1].1 - pair[0].1).min().unwrap_or_else(|| panic!("no {to} after {from}: {events:?}"))
    };
    // 120 merges and 0.3 MB of text; a batch of 2 rows of 32 tokens of the 128; 4 tokens.
    for (from, to, least) in
        [("tokenizer", "text", 18), ("step", "step", 1), ("step", "validation", 2), ("validation", "samples", 4)]
    {
        assert!(gap(from, to) >= least, "{from} to {to}: {} moments", gap(from, to));
    }
    let untimed = MemoryStorage::new();
    let environment = Environment::new(Arc::new(untimed.clone()), &Untimed);
    with_context(STEPS + 1, |context| {
        block_on(start_in(&recipe_with_preparation(), Some(Path::new(RUN)), &environment, context)).unwrap()
    });
    assert_same(&memory_results(&storage), &memory_results(&untimed));
}

#[test]
fn a_run_that_is_stopped_while_it_prepares_is_resumed() {
    let (recipe, whole) = (recipe_with_preparation(), MemoryStorage::new());
    let (_, events) = start_counted(&recipe, &whole, u64::MAX);
    let first_step = events.iter().find(|(name, _)| *name == "step").unwrap().1;
    assert!(first_step > 20, "{events:?}");
    for stop_at in (1..=first_step).step_by(5) {
        let storage = MemoryStorage::new();
        let (outcome, _) = start_counted(&recipe, &storage, stop_at);
        assert_eq!((outcome.steps.0, outcome.interrupted), (0, true), "stopped at moment {stop_at}");
        assert!(!resume_in_memory(&storage).unwrap().interrupted);
        assert_same(&memory_results(&storage), &memory_results(&whole));
    }
}

#[cfg(feature = "files")]
mod on_disk {
    use super::*;
    use crate::storage::{DiskStorage, Storage};
    use std::fs;

    /// Writes the files of a storage into a folder.
    fn unpack(storage: &MemoryStorage, home: &Path) {
        for (path, bytes) in storage.files() {
            let file = home.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &*bytes).unwrap();
        }
    }

    /// The files of a folder.
    fn pack(home: &Path) -> MemoryStorage {
        fn collect(home: &Path, folder: &Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => collect(home, &path, files),
                    false => files.push((path.strip_prefix(home).unwrap().to_owned(), fs::read(&path).unwrap())),
                }
            }
        }
        let mut files = Vec::new();
        collect(home, home, &mut files);
        MemoryStorage::from_files(files)
    }

    fn disk_results(home: &Path) -> Results {
        results(&RunPaths::open(&home.join(RUN)).unwrap())
    }

    #[test]
    fn a_run_in_memory_has_the_bits_of_a_run_on_disk() {
        let (storage, expected) = uninterrupted();
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join(RUN);
        with_context(STEPS + 1, |context| start(&recipe(), Some(&run), context)).unwrap();
        assert_same(&disk_results(home.path()), &expected);
        // All files have the same names; the lock file belongs to the disk.
        let names = |storage: MemoryStorage| storage.files().into_iter().map(|(path, _)| path);
        let on_disk: Vec<_> = names(pack(home.path())).filter(|path| !path.ends_with("lock")).collect();
        assert_eq!(on_disk, names(storage.clone()).collect::<Vec<_>>());
        for (path, bytes) in storage.files() {
            let has_times = ["metrics.jsonl", "metrics.csv", STATE_FILE].iter().any(|name| path.ends_with(name))
                || path.to_string_lossy().contains("tfevents");
            assert!(has_times || fs::read(home.path().join(&path)).unwrap() == *bytes, "{}", path.display());
        }
    }

    #[test]
    fn a_run_moves_between_memory_and_disk() {
        let (_, expected) = uninterrupted();
        let storage = MemoryStorage::new();
        start_in_memory(&storage, 5);
        let home = tempfile::tempdir().unwrap();
        unpack(&storage, home.path());
        with_context(STEPS + 1, |context| resume(&home.path().join(RUN), context)).unwrap();
        assert_same(&disk_results(home.path()), &expected);

        let home = tempfile::tempdir().unwrap();
        with_context(5, |context| start(&recipe(), Some(&home.path().join(RUN)), context)).unwrap();
        let storage = pack(home.path());
        assert!(!resume_in_memory(&storage).unwrap().interrupted);
        assert_same(&memory_results(&storage), &expected);
    }

    #[test]
    fn a_text_that_is_given_in_memory_trains_as_the_file_does() {
        let home = tempfile::tempdir().unwrap();
        let text: String =
            (0..400).map(|i| format!("Line {i} of a text, and {} is a number.\n", i * 7919 % 1000)).collect();
        let file = home.path().join("story.txt");
        fs::write(&file, &text).unwrap();
        let mut recipe = recipe();
        recipe.data.source = kiln_data::SourceConfig::Files(kiln_data::FilesConfig::new([file.to_str().unwrap()]));
        let run = home.path().join(RUN);
        with_context(5, |context| start(&recipe, Some(&run), context)).unwrap();

        let storage = MemoryStorage::from_files([(&file, text)]);
        let environment = Environment::new(Arc::new(storage.clone()), &Untimed);
        with_context(STEPS + 1, |context| block_on(start_in(&recipe, Some(Path::new(RUN)), &environment, context)))
            .unwrap();
        // The run on disk is continued in memory, with the same text.
        let moved = pack(home.path());
        moved.create_folder(file.parent().unwrap()).unwrap();
        moved.rename(Path::new("story.txt"), &file).unwrap();
        resume_in_memory(&moved).unwrap();
        assert_same(&memory_results(&moved), &memory_results(&storage));
        storage.remove(&file).unwrap();
        let error = resume_in_memory(&storage).unwrap_err();
        assert!(error.to_string().contains("story.txt: no such file"), "{error}");
    }

    #[test]
    fn a_run_without_a_clock_works_on_disk() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::new(DiskStorage::shared(), &Untimed);
        let run = home.path().join(RUN);
        with_context(STEPS + 1, |context| block_on(start_in(&recipe(), Some(&run), &environment, context))).unwrap();
        assert_same(&disk_results(home.path()), &uninterrupted().1);
    }
}
