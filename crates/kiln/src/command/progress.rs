//! Progress of a run on standard error: a progress bar on a terminal, else plain lines.
//!
//! Plain lines are few enough for a log file: about twenty steps per stage, and one line in five seconds while text is read.
//! Evaluations, samples and checkpoints are printed in both cases.

use super::{
    error::CliError,
    metrics_text,
    output::{print_folded, print_message},
    start_record::record_start,
};
use crate::page::number_format::{format_bytes, format_count};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_train::{
    metrics::{MetricsRow, StepMetrics},
    objective::RequiredText,
    run::{ProgressEvent, ProgressListener},
};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Maximum number of plain lines about steps in a stage.
const MAX_STEP_LINES: u64 = 20;

/// Minimum time between two plain lines about reading text.
const READING_INTERVAL: Duration = Duration::from_secs(5);

/// Prints the progress of a run.
pub struct ProgressReporter {
    /// Run folder, once it exists.
    pub run_folder: Option<PathBuf>,
    /// Whether the run was finished before this process.
    pub already_finished: bool,
    /// Whether a stage has started.
    pub stage_started: bool,
    /// Command line to record in the run folder when it is created; `None` for a resumed run.
    pub start_command: Option<String>,
    /// `None` if standard error is not a terminal.
    bar: Option<ProgressBar>,
    rate: StepRate,
    last_reading_message: Instant,
}

/// Speed of the current stage in this process.
struct StepRate {
    started: Instant,
    /// Steps in this process.
    steps: u64,
    /// Steps before this process.
    steps_before: u64,
    total_steps: u64,
}

impl ProgressReporter {
    /// A reporter with a bar if standard error is a terminal.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        Self {
            run_folder: None,
            already_finished: false,
            stage_started: false,
            start_command: None,
            bar,
            rate: StepRate { started: Instant::now(), steps: 0, steps_before: 0, total_steps: 0 },
            last_reading_message: Instant::now(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Prints a text, above the bar if there is one.
    pub fn print_message(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_folded(text)),
            None => print_folded(text),
        }
    }

    /// Printed first, so that a run that fails later can be found.
    fn show_run_folder(&mut self, run: &Path) {
        self.print_message(&format!("run folder: {}", run.display()));
        self.run_folder = Some(run.to_owned());
        // The run does not depend on the record: a failure is printed, and the training goes on.
        if let Some(Err(error)) = self.start_command.take().map(|command| record_start(run, &command)) {
            CliError::from(error).report();
        }
    }

    /// Shows an activity of unknown length.
    fn show_activity(&mut self, activity: String) {
        match &self.bar {
            Some(bar) => {
                let style = ProgressStyle::with_template("{spinner} {msg}");
                bar.set_style(style.unwrap_or(ProgressStyle::default_spinner()));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(activity);
            }
            None => print_message(&activity),
        }
    }

    /// `done` and `total` are in bytes of text; the total is unknown for compressed files.
    fn show_reading(&mut self, done: u64, total: Option<u64>) {
        if self.bar.is_some() || self.last_reading_message.elapsed() > READING_INTERVAL {
            self.last_reading_message = Instant::now();
            let total = total.map_or(String::new(), |total| format!(" of {}", format_bytes(total as f64)));
            self.show_activity(format!("reading text: {}{total}", format_bytes(done as f64)));
        }
    }

    /// `documents` counts those for training, `vocab` is the vocabulary size.
    fn show_corpus(&mut self, documents: usize, tokens: u64, validation_tokens: u64, vocab: usize) {
        let [documents, tokens, validation_tokens] =
            [documents as f64, tokens as f64, validation_tokens as f64].map(format_count);
        self.print_message(&format!(
            "train: {documents} documents, {tokens} tokens; validation: {validation_tokens}; vocabulary: {vocab}"
        ));
    }

    /// A text that only some documents contain is reported with what happens to the others.
    fn show_matches(&self, required: &RequiredText, matching: usize, documents: usize) {
        let RequiredText { key, without, .. } = required;
        let others = match documents - matching {
            0 => String::new(),
            others => format!("; each of the other {others} {without}"),
        };
        self.print_message(&format!("{key}: in {matching} of {documents} training documents{others}"));
    }

    /// `parameters`: all and trainable. `progress`: completed and all steps.
    ///
    /// Starts the bar and the measurement of the speed. After `--resume`, steps of earlier processes count for the
    /// bar, but not for the speed.
    fn show_stage(&mut self, name: &str, parameters: (usize, usize), progress: (u64, u64), epochs: Option<f64>) {
        let (total, trainable) = parameters;
        let (steps_done, steps) = progress;
        let epochs = epochs
            .map_or(String::new(), |epochs| format!(" ({epochs} {})", if epochs == 1.0 { "epoch" } else { "epochs" }));
        let resumed = if steps_done > 0 { format!(", continuing after step {steps_done}") } else { String::new() };
        let trainable = match trainable == total {
            true => String::new(),
            false => format!(", {} of them trainable", format_count(trainable as f64)),
        };
        let total = format_count(total as f64);
        self.print_message(&format!("{name}: {steps} steps{epochs}{resumed}; {total} parameters{trainable}"));
        self.stage_started = true;
        self.rate = StepRate { started: Instant::now(), steps: 0, steps_before: steps_done, total_steps: steps };
        if let Some(bar) = &self.bar {
            let style = ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or(ProgressStyle::default_bar());
            bar.disable_steady_tick();
            bar.set_style(style);
            bar.set_length(steps);
            bar.set_position(steps_done);
        }
    }

    /// The first and the last step of a stage are always printed.
    fn show_step(&mut self, row: &StepMetrics) {
        let speed = self.rate.record_step(row);
        let StepRate { steps, total_steps: total, .. } = self.rate;
        let done = self.rate.steps_before + steps;
        let is_shown = steps == 1 || done == total || done.is_multiple_of(total.div_ceil(MAX_STEP_LINES).max(1));
        let line = metrics_text::format_step(row, total.max(row.step), &speed);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(line);
            }
            None if is_shown => print_message(&line),
            None => {}
        }
    }

    /// Rows about compression and events are not printed; they are in the report.
    fn show_metrics(&mut self, row: &MetricsRow) {
        match row {
            MetricsRow::Step(row) => self.show_step(row),
            MetricsRow::Validation(row) => self.print_message(&metrics_text::format_validation(row)),
            MetricsRow::Samples(row) => self.print_message(&metrics_text::format_samples(row, self.rate.is_done())),
            MetricsRow::Compression(_) | MetricsRow::Event(_) => {}
        }
    }
}

impl StepRate {
    /// Whether the stage has reached its last step.
    fn is_done(&self) -> bool {
        self.steps_before + self.steps >= self.total_steps
    }

    /// Counts a step and returns the speed and the remaining time. Tokens per step are the mean over all steps.
    fn record_step(&mut self, row: &StepMetrics) -> String {
        self.steps += 1;
        let done = self.steps_before + self.steps;
        let seconds_per_step = self.started.elapsed().as_secs_f64() / self.steps as f64;
        let tokens_per_step = row.tokens as f64 / done as f64;
        let remaining = self.total_steps.saturating_sub(done) as f64;
        metrics_text::format_speed(tokens_per_step / seconds_per_step, remaining * seconds_per_step)
    }
}

impl ProgressListener for ProgressReporter {
    /// One line or one bar update per event.
    fn on_event(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::RunOpened(run) => self.show_run_folder(run),
            ProgressEvent::DataRecognized(summary) => self.print_message(&summary.to_string()),
            ProgressEvent::ReadingText(done, total) => self.show_reading(done, total),
            ProgressEvent::TrainingTokenizer => self.show_activity("training the tokenizer".into()),
            ProgressEvent::CorpusReady { documents, tokens, validation_tokens, vocab, report } => {
                report.messages().iter().for_each(|message| self.print_message(message));
                self.show_corpus(documents, tokens, validation_tokens, vocab)
            }
            ProgressEvent::RunRemoved(run) => {
                self.run_folder = None;
                self.print_message(&format!("removed {}: the run has no checkpoint", run.display()));
            }
            ProgressEvent::TextMatched { required, matching, documents } => {
                self.show_matches(required, matching, documents)
            }
            ProgressEvent::StageStarted { name, parameters, steps_done, steps, epochs } => {
                self.show_stage(name, parameters, (steps_done, steps), epochs)
            }
            ProgressEvent::Metrics(row) => self.show_metrics(row),
            ProgressEvent::CheckpointSaved(step) => self.print_message(&format!("checkpoint saved at step {step}")),
            ProgressEvent::AlreadyFinished(step) => {
                self.already_finished = true;
                self.print_message(&format!("the run is finished, after {step} steps"));
            }
        }
    }
}
