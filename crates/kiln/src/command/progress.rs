//! What people see of a run while it goes: a bar in a terminal, plain lines elsewhere.

use super::{line, output::say};
use crate::page::number::{bytes, count};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_train::{
    metrics::{Row, Step},
    run::{News, Watch},
};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Plain lines about steps in a run.
const LINES: u64 = 20;

/// Tells people how a run goes.
pub struct Progress {
    /// The run's folder, once it is there.
    pub run: Option<PathBuf>,
    /// Whether the run had ended before.
    pub ended_before: bool,
    /// Whether a stage has begun.
    pub trains: bool,
    bar: Option<ProgressBar>,
    pace: Pace,
    read: Instant,
}

/// Speed of the stage in this process.
struct Pace {
    started: Instant,
    steps: u64,
    /// Steps done before this process, and in all.
    before: u64,
    all: u64,
}

impl Progress {
    /// For standard error as it is.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        let pace = Pace { started: Instant::now(), steps: 0, before: 0, all: 0 };
        Self { run: None, ended_before: false, trains: false, bar, pace, read: Instant::now() }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Says a line, above the bar if there is one.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn opened(&mut self, run: &Path) {
        self.say(&format!("run in {}", run.display()));
        self.run = Some(run.to_owned());
    }

    fn doing(&mut self, what: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(
                    ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner()),
                );
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(what);
            }
            None => say(&what),
        }
    }

    fn reading(&mut self, done: u64, all: Option<u64>) {
        // Without a bar a line now and then is enough.
        if self.bar.is_some() || self.read.elapsed() > Duration::from_secs(5) {
            self.read = Instant::now();
            let of = all.map_or(String::new(), |all| format!(" of {}", bytes(all as f64)));
            self.doing(format!("reading text: {}{of}", bytes(done as f64)));
        }
    }

    fn stage(&mut self, name: &str, parameters: (usize, usize), done: u64, steps: u64) {
        let of = if parameters.0 == parameters.1 {
            String::new()
        } else {
            format!(", {} of them train", count(parameters.1 as f64))
        };
        let on = if done > 0 { format!(", goes on after step {done}") } else { String::new() };
        self.say(&format!("{name}: {steps} steps{on}; a model of {} parameters{of}", count(parameters.0 as f64)));
        self.trains = true;
        self.pace = Pace { started: Instant::now(), steps: 0, before: done, all: steps };
        if let Some(bar) = &self.bar {
            let style = ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or(ProgressStyle::default_bar());
            bar.disable_steady_tick();
            bar.set_style(style);
            bar.set_length(steps);
            bar.set_position(done);
        }
    }

    fn step(&mut self, row: &Step) {
        let pace = self.pace.after(row);
        let (done, all) = (self.pace.before + self.pace.steps, self.pace.all);
        let shown = || line::step(row, all.max(row.step), &pace);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(shown());
            }
            None if self.pace.steps == 1 || done == all || done.is_multiple_of(all.div_ceil(LINES).max(1)) => {
                say(&shown())
            }
            None => {}
        }
    }
}

impl Pace {
    fn done(&self) -> bool {
        self.before + self.steps >= self.all
    }

    fn after(&mut self, row: &Step) -> String {
        self.steps += 1;
        let a_step = self.started.elapsed().as_secs_f64() / self.steps as f64;
        let tokens = row.tokens as f64 / (self.before + self.steps) as f64;
        let left = self.all.saturating_sub(self.before + self.steps) as f64;
        line::pace(tokens / a_step, left * a_step)
    }
}

impl Watch for Progress {
    fn tell(&mut self, news: News) {
        match news {
            News::Opened(run) => self.opened(run),
            News::Reading(done, all) => self.reading(done, all),
            News::Tokenizer => self.doing("training the tokenizer".into()),
            News::Corpus { documents, tokens, held_out, vocab, skipped } => {
                let (tokens, held_out) = (count(tokens as f64), count(held_out as f64));
                let left = if skipped > 0 { format!("; left out {skipped} files without text") } else { String::new() };
                let documents = count(documents as f64);
                self.say(&format!(
                    "{documents} documents, {tokens} tokens of {vocab} kinds, {held_out} held out{left}"
                ));
            }
            News::Stage { name, parameters, done, steps } => self.stage(name, parameters, done, steps),
            News::Row(Row::Step(row)) => self.step(row),
            News::Row(Row::Validation(row)) => self.say(&line::validation(row)),
            News::Row(Row::Samples(row)) => self.say(&line::samples(row, self.pace.done())),
            News::Row(Row::Compression(_) | Row::Event(_)) => {}
            News::Saved(step) => self.say(&format!("saved after step {step}")),
            News::Finished(step) => {
                self.ended_before = true;
                self.say(&format!("all {step} steps are done already"));
            }
        }
    }
}
