//! `compare`: runs beside each other.

use super::{
    curve::{Curve, draw},
    differences::differences,
    history::History,
    host::HostArgs,
    measure::Bench,
    output::{Answer, say},
    report,
    table::table,
    trouble::Trouble,
};
use crate::page::{
    self, Compare, ComparedRun,
    number::{count, duration},
};
use burn::{module::Module, tensor::Device};
use kiln_train::{
    folder::{RunPaths, write_atomic},
    metrics::Row,
    run,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const MARKS: [char; 8] = ['●', '○', '+', 'x', '*', '#', '%', '@'];

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders of the runs.
    #[arg(required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Where the page goes.
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    out: PathBuf,
    /// Measures each run anew, on its held-out text in rows of so many tokens: what it makes of more text before a token
    /// than it was trained on. As often as wanted.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=1 << 24))]
    length: Vec<usize>,
    #[command(flatten)]
    host: HostArgs,
}

/// One run as it is read.
struct Read {
    path: PathBuf,
    history: History,
    losses: Vec<(f64, f64)>,
    recipe: toml::Table,
    rows: Vec<page::Row>,
    parameters: u64,
    /// Rows of so many tokens, and the loss there.
    lengths: Vec<(usize, f64)>,
}

/// Compares.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let mut read = args.runs.iter().map(|path| Read::open(path)).collect::<Result<Vec<_>, _>>()?;
    let device = args.host.device()?;
    for run in read.iter_mut().filter(|_| !args.length.is_empty()) {
        run.lengths = lengths(&run.path, &args.length, &device)?;
    }
    let mut differing = differences(&read.iter().map(|run| &run.recipe).collect::<Vec<_>>());
    // Every run has a name of its own.
    differing.remove("name");
    let runs: Vec<ComparedRun> = read.iter().enumerate().map(|(at, run)| run.compared(at, &differing)).collect();
    let json: Vec<Value> = read.iter().zip(&runs).map(|(read, run)| read.json(run)).collect();
    let text = text(&read, &runs, &differing);
    write_atomic(&args.out, page::compare(&Compare { runs }).as_bytes())?;
    say(&format!("page in {}", args.out.display()));
    Ok(Answer::new(json!({ "runs": json }), text))
}

impl Read {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let paths = RunPaths::open(path)?;
        let recipe = run::recipe(&paths)?;
        let rows = run::metrics(&paths)?;
        let model = report::untrained(&paths, &recipe)?;
        let loss = |row: &Row| if let Row::Validation(row) = row { Some((row.tokens as f64, row.loss)) } else { None };
        let table = toml::from_str(&recipe.to_toml()).map_err(|error| Trouble::failed("recipe", error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            history: History::of(&rows),
            losses: rows.iter().filter_map(loss).collect(),
            recipe: table,
            rows: report::rows(&paths)?,
            parameters: model.map_or(0, |model| model.num_params() as u64),
            lengths: Vec::new(),
        })
    }

    fn compared(&self, at: usize, differing: &BTreeMap<String, Vec<String>>) -> ComparedRun {
        ComparedRun {
            name: report::name(&self.path),
            differs: differing.iter().map(|(key, values)| (key.clone(), values[at].clone())).collect(),
            validation_loss: self.history.validation_loss(),
            floor: self.history.floor(),
            seconds: self.history.seconds(),
            parameters: self.parameters,
            tokens: self.history.tokens(),
            rows: self.rows.clone(),
            lengths: self.lengths.clone(),
        }
    }

    fn json(&self, run: &ComparedRun) -> Value {
        let mut json = json!({
            "run": self.path.display().to_string(),
            "differs": run.differs,
            "validation_loss": run.validation_loss,
            "seconds": run.seconds,
            "parameters": run.parameters,
        });
        if !self.lengths.is_empty() {
            let pair = |(length, loss): &(usize, f64)| json!({ "length": length, "loss": loss });
            json["lengths"] = self.lengths.iter().map(pair).collect();
        }
        json
    }
}

/// The loss of a run's held-out text in rows of each length.
fn lengths(path: &Path, lengths: &[usize], device: &Device) -> Result<Vec<(usize, f64)>, Trouble> {
    let bench = Bench::open(super::place::place(path)?, None, device)?;
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    lengths.dedup();
    let loss = |length| {
        say(&format!("rows of {length} tokens; trained on {}", bench.trained_length()));
        Ok((length, bench.measure(&bench.held(length)?, &*bench.objective())?.found.loss))
    };
    lengths.into_iter().map(loss).collect()
}

/// A line a run: its loss at each length.
fn by_length(runs: &[ComparedRun]) -> Option<String> {
    let lengths = &runs.first()?.lengths;
    let head: Vec<String> = lengths.iter().map(|(length, _)| format!("at {length}")).collect();
    let head: Vec<&str> = ["tokens a row"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let line = |run: &ComparedRun| {
        std::iter::once(run.name.clone()).chain(run.lengths.iter().map(|(_, loss)| format!("{loss:.3}"))).collect()
    };
    let lines: Vec<Vec<String>> = runs.iter().map(line).collect();
    (!lengths.is_empty()).then(|| table(&head, &lines, &(1..head.len()).collect::<Vec<_>>()))
}

fn text(read: &[Read], runs: &[ComparedRun], differing: &BTreeMap<String, Vec<String>>) -> String {
    let head: Vec<&str> = ["", "run", "held-out loss", "floor", "time", "parameters", "tokens"].to_vec();
    let number = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.3}"));
    let row = |(at, run): (usize, &ComparedRun)| {
        let figures = [number(run.validation_loss), number(run.floor), duration(run.seconds)];
        let sizes = [count(run.parameters as f64), count(run.tokens as f64)];
        [vec![mark(at).to_string(), run.name.clone()], figures.to_vec(), sizes.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = runs.iter().enumerate().map(row).collect();
    let mut parts = vec![table(&head, &rows, &[2, 3, 4, 5, 6])];
    if !differing.is_empty() {
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        let line = |(key, values): (&String, &Vec<String>)| [vec![key.clone()], values.clone()].concat();
        let lines: Vec<Vec<String>> = differing.iter().map(line).collect();
        parts.push(table(&[&["what differs"], &names[..]].concat(), &lines, &[]));
    }
    parts.extend(by_length(runs));
    let curves: Vec<Curve> =
        read.iter().enumerate().map(|(at, run)| Curve { mark: mark(at), points: run.losses.clone() }).collect();
    parts.extend(
        draw(&curves, 72, 12).map(|drawn| format!("{drawn}\n         held-out loss, nats a token over tokens")),
    );
    parts.join("\n\n")
}

fn mark(run: usize) -> char {
    MARKS[run % MARKS.len()]
}
