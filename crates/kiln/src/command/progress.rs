//! What people see of a run while it goes: a bar in a terminal, plain lines elsewhere.

use super::{metrics_text, output::print_message};
use crate::page::number_format::{format_bytes, format_count};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_train::{
    metrics::{MetricsRow, StepMetrics},
    run::{ProgressEvent, ProgressListener},
};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Plain lines about steps in a run.
const MAX_STEP_LINES: u64 = 20;

/// Tells people how a run goes.
pub struct ProgressReporter {
    /// The run's folder, once it is there.
    pub run_folder: Option<PathBuf>,
    /// Whether the run had ended before.
    pub already_finished: bool,
    /// Whether a stage has begun.
    pub stage_started: bool,
    bar: Option<ProgressBar>,
    rate: StepRate,
    last_reading_message: Instant,
}

/// Speed of the stage in this process.
struct StepRate {
    started: Instant,
    steps: u64,
    /// Steps done before this process, and in all.
    steps_before: u64,
    total_steps: u64,
}

impl ProgressReporter {
    /// For standard error as it is.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        let pace = StepRate { started: Instant::now(), steps: 0, steps_before: 0, total_steps: 0 };
        Self {
            run_folder: None,
            already_finished: false,
            stage_started: false,
            bar,
            rate: pace,
            last_reading_message: Instant::now(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Says a line, above the bar if there is one.
    pub fn print_message(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_message(text)),
            None => print_message(text),
        }
    }

    fn show_run_folder(&mut self, run: &Path) {
        self.print_message(&format!("run in {}", run.display()));
        self.run_folder = Some(run.to_owned());
    }

    fn show_activity(&mut self, what: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(
                    ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner()),
                );
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(what);
            }
            None => print_message(&what),
        }
    }

    fn show_reading(&mut self, done: u64, all: Option<u64>) {
        // Without a bar a line now and then is enough.
        if self.bar.is_some() || self.last_reading_message.elapsed() > Duration::from_secs(5) {
            self.last_reading_message = Instant::now();
            let of = all.map_or(String::new(), |all| format!(" of {}", format_bytes(all as f64)));
            self.show_activity(format!("reading text: {}{of}", format_bytes(done as f64)));
        }
    }

    fn show_stage(&mut self, name: &str, parameters: (usize, usize), done: u64, steps: u64) {
        let of = if parameters.0 == parameters.1 {
            String::new()
        } else {
            format!(", {} of them train", format_count(parameters.1 as f64))
        };
        let on = if done > 0 { format!(", goes on after step {done}") } else { String::new() };
        self.print_message(&format!(
            "{name}: {steps} steps{on}; a model of {} parameters{of}",
            format_count(parameters.0 as f64)
        ));
        self.stage_started = true;
        self.rate = StepRate { started: Instant::now(), steps: 0, steps_before: done, total_steps: steps };
        if let Some(bar) = &self.bar {
            let style = ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or(ProgressStyle::default_bar());
            bar.disable_steady_tick();
            bar.set_style(style);
            bar.set_length(steps);
            bar.set_position(done);
        }
    }

    fn show_step(&mut self, row: &StepMetrics) {
        let pace = self.rate.record_step(row);
        let (done, all) = (self.rate.steps_before + self.rate.steps, self.rate.total_steps);
        let shown = || metrics_text::format_step(row, all.max(row.step), &pace);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(shown());
            }
            None if self.rate.steps == 1 || done == all || done.is_multiple_of(all.div_ceil(MAX_STEP_LINES).max(1)) => {
                print_message(&shown())
            }
            None => {}
        }
    }
}

impl StepRate {
    fn is_done(&self) -> bool {
        self.steps_before + self.steps >= self.total_steps
    }

    fn record_step(&mut self, row: &StepMetrics) -> String {
        self.steps += 1;
        let a_step = self.started.elapsed().as_secs_f64() / self.steps as f64;
        let tokens = row.tokens as f64 / (self.steps_before + self.steps) as f64;
        let left = self.total_steps.saturating_sub(self.steps_before + self.steps) as f64;
        metrics_text::format_speed(tokens / a_step, left * a_step)
    }
}

impl ProgressListener for ProgressReporter {
    fn on_event(&mut self, news: ProgressEvent) {
        match news {
            ProgressEvent::RunOpened(run) => self.show_run_folder(run),
            ProgressEvent::ReadingText(done, all) => self.show_reading(done, all),
            ProgressEvent::TrainingTokenizer => self.show_activity("training the tokenizer".into()),
            ProgressEvent::CorpusReady { documents, tokens, validation_tokens: held_out, vocab, skipped } => {
                let (tokens, held_out) = (format_count(tokens as f64), format_count(held_out as f64));
                let left = if skipped > 0 { format!("; left out {skipped} files without text") } else { String::new() };
                let documents = format_count(documents as f64);
                self.print_message(&format!(
                    "{documents} documents, {tokens} tokens of {vocab} kinds, {held_out} held out{left}"
                ));
            }
            ProgressEvent::StageStarted { name, parameters, steps_done: done, steps } => {
                self.show_stage(name, parameters, done, steps)
            }
            ProgressEvent::Metrics(MetricsRow::Step(row)) => self.show_step(row),
            ProgressEvent::Metrics(MetricsRow::Validation(row)) => {
                self.print_message(&metrics_text::format_validation(row))
            }
            ProgressEvent::Metrics(MetricsRow::Samples(row)) => {
                self.print_message(&metrics_text::format_samples(row, self.rate.is_done()))
            }
            ProgressEvent::Metrics(MetricsRow::Compression(_) | MetricsRow::Event(_)) => {}
            ProgressEvent::CheckpointSaved(step) => self.print_message(&format!("saved after step {step}")),
            ProgressEvent::AlreadyFinished(step) => {
                self.already_finished = true;
                self.print_message(&format!("all {step} steps are done already"));
            }
        }
    }
}
