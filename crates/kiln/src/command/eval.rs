//! `eval`: a model measured on text.

use super::{
    host::HostArgs,
    line,
    output::{Answer, say},
    table::pairs,
    trouble::Trouble,
};
use crate::page::number::{bytes, count, percent};
use kiln_data::{Corpus, FilesConfig, Side, Source, SourceConfig, Split};
use kiln_infer::block_on;
use kiln_train::{
    Models, Objective,
    evaluate::{Evaluation, Held},
    objective::Measure,
    run::{self, Loaded},
};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a run.
    run: PathBuf,
    /// Text to measure on, all of it; without it the run's held-out text. As often as wanted.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// The field of a .jsonl that holds the text.
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Measures.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let device = args.host.device()?;
    let mut loaded = run::load(&args.run, &device)?;
    let stage = loaded.recipe.stages.pop().unwrap_or_default();
    let data = stage.data.clone().unwrap_or(loaded.recipe.data.clone());
    let room = run::room(&std::env::temp_dir());
    let built_in = args.data.is_empty() && run::built_in(&data);
    let (source, split): (Box<dyn Source>, Split) = if args.data.is_empty() {
        let (source, split) = run::open(&data, &|| false)?;
        (Box::new(source), split)
    } else {
        (SourceConfig::Files(args.files()).open()?, Split::whole(Side::Validation))
    };
    say(&format!("measuring on {}", source.describe()));
    let corpus = Arc::new(Corpus::build(&*source, &split, &loaded.tokenizer, &room, |_, _| ())?);
    let size = (stage.length, stage.rows);
    let held = Held::new(&corpus, &loaded.tokenizer, size, None, built_in, loaded.recipe.seed)?;
    let Loaded { model, .. } = loaded;
    let (models, objective) = (Models { policy: model }, stage.objective.build());
    let measured = |objective: &dyn Objective| -> Result<Measured, Trouble> {
        Ok(Measured {
            found: block_on(held.evaluate(&models, objective))?,
            pseudo: objective.measure() == Measure::Pseudo,
        })
    };
    let parts = objective.parts().into_iter().map(|(name, part)| Ok((name, measured(&*part)?)));
    Ok(answer(&measured(&*objective)?, &parts.collect::<Result<Vec<_>, Trouble>>()?))
}

/// What was found, and whether tokens were seen from both sides.
struct Measured {
    found: Evaluation,
    pseudo: bool,
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
