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
use kiln_models::Visibility;
use kiln_train::{
    Models,
    evaluate::{Evaluation, Held},
    run::{self, Loaded},
};
use serde_json::json;
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
    let causal = model.config().visibility == Visibility::Causal;
    let found = block_on(held.evaluate(&Models { policy: model }, &*stage.objective.build()))?;
    Ok(answer(&found, causal))
}

impl Args {
    fn files(&self) -> FilesConfig {
        let mut files = FilesConfig::new(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files
    }
}

fn answer(found: &Evaluation, causal: bool) -> Answer {
    let perplexity = found.loss.exp();
    let json = json!({
        "loss": found.loss,
        "perplexity": perplexity,
        "bits_per_byte": found.bits_per_byte(),
        "accuracy": found.accuracy,
        "tokens": found.tokens,
        "bytes": found.bytes,
        "kind": if causal { "causal" } else { "pseudo" },
    });
    let name = if causal { "perplexity" } else { "pseudo-perplexity" };
    let mut lines = vec![
        ("loss", format!("{:.4} nats a token", found.loss)),
        (name, format!("{perplexity:.3}")),
        ("bits a byte", format!("{:.4}", found.bits_per_byte())),
        ("accuracy", percent(found.accuracy)),
        ("text", format!("{} tokens, {}", count(found.tokens as f64), bytes(found.bytes as f64))),
    ];
    lines.extend(found.floor.map(|floor| ("floor", line::above(found.loss, floor))));
    lines.extend(found.kinds.as_ref().map(|kinds| ("right", line::kinds(kinds))));
    Answer::new(json, pairs(&lines))
}
