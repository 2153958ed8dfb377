//! `eval`: a model measured on text.

use super::{
    host::HostArgs,
    line,
    measure::{Bench, Measured},
    output::Answer,
    place::ModelArgs,
    table::pairs,
    trouble::Trouble,
};
use crate::page::number::{bytes, count, percent};
use kiln_data::FilesConfig;
use serde_json::{Map, Value, json};

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to measure on, all of it; without it a run's held-out text. As often as wanted.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// The field of a .jsonl that holds the text.
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    /// Tokens a row: how far back the model sees at most; without it as in training.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=1 << 24))]
    length: Option<usize>,
    #[command(flatten)]
    host: HostArgs,
}

/// Measures.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let device = args.host.device()?;
    let bench = Bench::open(args.model.place()?, (!args.data.is_empty()).then(|| args.files()), &device)?;
    let held = bench.held(args.length.unwrap_or(bench.trained_length()))?;
    let objective = bench.objective();
    let parts = objective.parts().into_iter().map(|(name, part)| Ok((name, bench.measure(&held, &*part)?)));
    Ok(answer(&bench.measure(&held, &*objective)?, &parts.collect::<Result<Vec<_>, Trouble>>()?))
}

impl Measured {
    fn json(&self) -> Value {
        json!({
            "loss": self.found.loss,
            "perplexity": self.found.loss.exp(),
            "bits_per_byte": self.found.bits_per_byte(),
            "accuracy": self.found.accuracy,
            "tokens": self.found.tokens,
            "bytes": self.found.bytes,
            "kind": if self.pseudo { "pseudo" } else { "causal" },
        })
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let found = &self.found;
        let name = if self.pseudo { "pseudo-perplexity" } else { "perplexity" };
        let mut lines = vec![
            ("loss", format!("{:.4} nats a token", found.loss)),
            (name, format!("{:.3}", found.loss.exp())),
            ("bits a byte", format!("{:.4}", found.bits_per_byte())),
            ("accuracy", percent(found.accuracy)),
            ("text", format!("{} tokens, {}", count(found.tokens as f64), bytes(found.bytes as f64))),
        ];
        lines.extend(found.floor.map(|floor| ("floor", line::above(found.loss, floor))));
        lines.extend(found.kinds.as_ref().map(|kinds| ("right", line::kinds(kinds))));
        lines
    }
}

impl Args {
    fn files(&self) -> FilesConfig {
        let mut files = FilesConfig::new(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files
    }
}

/// The whole, and each part of a mixture.
fn answer(whole: &Measured, parts: &[(&'static str, Measured)]) -> Answer {
    let mut json = whole.json();
    if !parts.is_empty() {
        json["modes"] =
            parts.iter().map(|(name, part)| ((*name).to_string(), part.json())).collect::<Map<_, _>>().into();
    }
    let part = |(name, part): &(&str, Measured)| format!("\n{}\n{}", name.replace('_', " "), pairs(&part.lines()));
    let text = std::iter::once(pairs(&whole.lines())).chain(parts.iter().map(part)).collect::<Vec<_>>().join("\n");
    Answer::new(json, text)
}
