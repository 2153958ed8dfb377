//! Progress of a run as events.

use crate::Session;
use kiln_train::{
    Recipe,
    run::{ProgressEvent, ProgressListener, load_recipe},
    run_folder::RunPaths,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Least time between two events of the same reading.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Sends the progress of one run to the host, and marks the run as training for as long as it lives.
pub struct RunListener<'a> {
    session: &'a Session,
    stop_flag: Arc<AtomicBool>,
    /// Name of the run, once it is opened.
    run: Option<String>,
    recipe: Option<Recipe>,
    /// Number of steps of the stages before the current one.
    steps_before: u64,
    last_report: Option<Duration>,
}

impl<'a> RunListener<'a> {
    pub fn new(session: &'a Session, stop_flag: Arc<AtomicBool>) -> Self {
        Self { session, stop_flag, run: None, recipe: None, steps_before: 0, last_report: None }
    }

    /// Name of the run; `None` before it is opened, and once it has been removed.
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// Marks a run as training.
    fn open(&mut self, folder: &Path) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let paths = RunPaths::open_in(Arc::new(self.session.storage.clone()), folder);
        self.recipe = paths.ok().and_then(|paths| load_recipe(&paths).ok());
        self.session.training.borrow_mut().insert(name.clone(), self.stop_flag.clone());
        self.run = Some(name);
        self.emit("run", json!({}));
    }

    /// The run is no longer training.
    fn close(&mut self) {
        if let Some(run) = self.run.take() {
            self.session.training.borrow_mut().remove(&run);
        }
    }

    /// Sends an event of this run.
    fn emit(&self, event: &str, mut fields: Value) {
        fields["event"] = event.into();
        fields["run"] = self.run.as_deref().into();
        self.session.host.emit(fields);
    }

    fn emit_progress(&self, phase: &str, done: u64, total: Option<u64>) {
        self.emit("progress", json!({ "phase": phase, "done": done, "total": total }));
    }

    /// Whether enough time has passed since the last report of a reading.
    fn is_report_due(&mut self) -> bool {
        let now = self.session.host.now();
        let is_due = self.last_report.is_none_or(|last| now.saturating_sub(last) >= REPORT_INTERVAL);
        if is_due {
            self.last_report = Some(now);
        }
        is_due
    }

    /// The stage that starts, and how many steps of the run are before it.
    fn start_stage(&mut self, name: &str, parameters: (usize, usize), steps_done: u64, steps: u64) {
        let stages = self.recipe.iter().flat_map(|recipe| &recipe.stages);
        self.steps_before = stages.take_while(|stage| stage.name != name).map(|stage| stage.steps).sum();
        let (parameters, trainable) = parameters;
        let stage = json!({
            "stage": name,
            "parameters": parameters,
            "trainable": trainable,
            "steps": steps,
            "steps_done": steps_done,
            "steps_before": self.steps_before,
        });
        self.emit("stage", stage);
    }
}

impl ProgressListener for RunListener<'_> {
    fn on_event(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::RunOpened(folder) => self.open(folder),
            ProgressEvent::RunRemoved(_) => self.close(),
            ProgressEvent::ReadingText(done, total) if self.is_report_due() => {
                self.emit_progress("reading", done, total);
            }
            ProgressEvent::TrainingTokenizer => self.emit_progress("tokenizer", 0, None),
            ProgressEvent::PrecomputingFrozen { rows, total, .. } if self.is_report_due() => {
                self.emit_progress("precomputing", rows, Some(total));
            }
            ProgressEvent::CorpusReady { documents, tokens, validation_tokens, vocab, .. } => {
                let corpus = json!({
                    "documents": documents,
                    "tokens": tokens,
                    "validation_tokens": validation_tokens,
                    "vocab": vocab,
                });
                self.emit("corpus", corpus);
            }
            ProgressEvent::StageStarted { name, parameters, steps_done, steps, .. } => {
                self.start_stage(name, parameters, steps_done, steps);
            }
            ProgressEvent::Metrics(row) => self.emit("metrics", json!({ "row": row })),
            ProgressEvent::CheckpointSaved(step) => {
                self.emit("checkpoint", json!({ "step": self.steps_before + step }));
            }
            _ => {}
        }
    }
}

impl Drop for RunListener<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
