//! The screen of the dashboard: burn-train's renderer, from the start of the first stage to the end of the run.

use super::{metrics::MetricFeed, terminal};
use crate::command::{error::EXIT_INTERRUPTED, interrupt, objective_metrics::metric_descriptions, output};
use burn_train::{
    Interrupter,
    logger::TrainingProgressLogger,
    renderer::{MetricsRenderer, tui::TuiMetricsRendererWrapper},
};
use kiln_train::{
    Recipe,
    metrics::MetricsRow,
    run::{self, ProgressEvent},
    run_folder::RunPaths,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

/// The dashboard of a run.
pub struct Dashboard {
    run_folder: Option<PathBuf>,
    stages: Stages,
    screen: Option<Screen>,
}

/// The stages of the run.
#[derive(Default)]
struct Stages {
    names: Vec<String>,
    /// Index of the current stage; `None` before the first.
    current: Option<usize>,
    /// Number of completed steps of the current stage.
    steps_done: u64,
}

/// An open screen.
struct Screen {
    renderer: TuiMetricsRendererWrapper,
    /// Set by the renderer's thread when a key asks for the end of the run.
    interrupter: Interrupter,
    feed: MetricFeed,
}

impl Dashboard {
    /// A dashboard that opens with the first stage.
    pub(super) fn prepare() -> Result<Self, &'static str> {
        Ok(Self { run_folder: None, stages: Stages::default(), screen: None })
    }

    /// Shows an event. A request to stop from the keyboard becomes that of a Ctrl-C.
    ///
    /// The renderer panics in this thread when a key asks to kill the program: the process then ends at once, as after a
    /// second Ctrl-C.
    pub fn on_event(&mut self, event: &ProgressEvent) {
        if catch_unwind(AssertUnwindSafe(|| self.show(event))).is_err() {
            terminal::restore();
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        if self.screen.as_ref().is_some_and(|screen| screen.interrupter.should_stop()) {
            interrupt::request_stop();
        }
    }

    /// Ends the dashboard, and prints the messages of the meantime.
    pub fn close(&mut self) {
        if let Some(screen) = self.screen.take() {
            // Its destructor ends the thread, which gives the terminal back.
            drop(screen.renderer);
            terminal::closed();
            output::release_messages();
        }
    }

    fn show(&mut self, event: &ProgressEvent) {
        match event {
            ProgressEvent::RunOpened(run) => self.run_folder = Some(run.to_path_buf()),
            ProgressEvent::StageStarted { name, steps_done, steps, .. } => self.start_stage(name, *steps_done, *steps),
            ProgressEvent::Metrics(row) => self.show_row(row),
            ProgressEvent::CheckpointSaved(_) => {
                if let Some(screen) = &mut self.screen {
                    screen.renderer.log_event_training("Checkpoints".into());
                }
            }
            _ => {}
        }
    }

    fn start_stage(&mut self, name: &str, steps_done: u64, steps: u64) {
        if self.screen.is_none() {
            self.open();
        }
        let index = self.stages.start(name, steps_done);
        let Some(Screen { renderer, .. }) = &mut self.screen else { return };
        let total_items = usize::try_from(steps).unwrap_or(usize::MAX);
        renderer.start(self.stages.names.len(), index, Some(total_items), Some(name));
        renderer.update_epoch(index);
        renderer.start_split("train", total_items);
        renderer.update_split(usize::try_from(steps_done).unwrap_or(usize::MAX));
    }

    /// Opens the screen, and shows the metrics so far: those of the run before it was resumed.
    fn open(&mut self) {
        let paths = self.run_folder.as_ref().and_then(|run| RunPaths::open(run).ok());
        let recipe = paths.as_ref().and_then(|paths| run::load_recipe(paths).ok()).unwrap_or_default();
        let rows = paths.as_ref().and_then(|paths| run::load_metrics(paths).ok()).unwrap_or_default();
        self.stages.names = stage_names(&recipe);
        output::hold_messages();
        let interrupter = Interrupter::new();
        let renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), None);
        terminal::opened();
        let mut screen = Screen { renderer, interrupter, feed: MetricFeed::new(metric_descriptions(&recipe)) };
        rows.iter().for_each(|row| screen.show_row(row));
        self.screen = Some(screen);
    }

    fn show_row(&mut self, row: &MetricsRow) {
        let Some(screen) = &mut self.screen else { return };
        screen.show_row(row);
        if let MetricsRow::Step(_) = row {
            self.stages.steps_done += 1;
            screen.renderer.update_split(usize::try_from(self.stages.steps_done).unwrap_or(usize::MAX));
        }
    }
}

impl Screen {
    fn show_row(&mut self, row: &MetricsRow) {
        for update in self.feed.read(row) {
            if let Some(definition) = update.definition {
                self.renderer.register_metric(definition);
            }
            update.split.send(&mut self.renderer, update.state);
        }
    }
}

impl Stages {
    /// Enters the stage `name`, and returns its index.
    fn start(&mut self, name: &str, steps_done: u64) -> usize {
        let first = self.current.map_or(0, |current| current + 1);
        let index = self.names.iter().skip(first).position(|other| other == name).map_or(first, |found| first + found);
        if index >= self.names.len() {
            self.names.resize(index + 1, name.to_owned());
        }
        self.current = Some(index);
        self.steps_done = steps_done;
        index
    }
}

fn stage_names(recipe: &Recipe) -> Vec<String> {
    recipe.stages.iter().map(|stage| stage.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_found_by_name_from_the_current_one_on() {
        let names = ["warm", "train", "warm"].map(String::from).to_vec();
        let mut stages = Stages { names, ..Stages::default() };
        assert_eq!([stages.start("warm", 0), stages.start("train", 3), stages.start("warm", 0)], [0, 1, 2]);
        let mut resumed = Stages { names: stages.names.clone(), ..Stages::default() };
        assert_eq!((resumed.start("train", 3), resumed.steps_done), (1, 3));
        let mut unknown = Stages::default();
        assert_eq!((unknown.start("only", 0), unknown.names.len()), (0, 1));
    }
}
