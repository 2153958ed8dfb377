//! `compare`: runs beside each other.

use super::{
    curve::{Curve, draw},
    differences::differences,
    history::History,
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
}

/// One run as it is read.
struct Read {
    path: PathBuf,
    history: History,
    losses: Vec<(f64, f64)>,
    recipe: toml::Table,
    rows: Vec<page::Row>,
    parameters: u64,
}

/// Compares.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let read = args.runs.iter().map(|path| Read::open(path)).collect::<Result<Vec<_>, _>>()?;
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
        let model = report::untrained(&paths, &recipe, &Device::flex())?;
        let loss = |row: &Row| if let Row::Validation(row) = row { Some((row.tokens as f64, row.loss)) } else { None };
        let table = toml::from_str(&recipe.to_toml()).map_err(|error| Trouble::failed("recipe", error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            history: History::of(&rows),
            losses: rows.iter().filter_map(loss).collect(),
            recipe: table,
            rows: report::rows(&paths)?,
            parameters: model.map_or(0, |model| model.num_params() as u64),
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
        }
    }

    fn json(&self, run: &ComparedRun) -> Value {
        json!({
            "run": self.path.display().to_string(),
            "differs": run.differs,
            "validation_loss": run.validation_loss,
            "seconds": run.seconds,
            "parameters": run.parameters,
        })
    }
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
