//! `generate`: writes on after a prompt.

use super::{
    host::HostArgs,
    output::{Answer, piece},
    trouble::Trouble,
};
use kiln_infer::{Generator, Options, Sampling, block_on};
use serde_json::json;
use std::{path::PathBuf, time::Instant};

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a run.
    run: PathBuf,
    /// The text to go on from; empty: from nothing.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// At most so many new tokens.
    #[arg(long, value_name = "N", default_value_t = 256)]
    tokens: usize,
    /// Names the random numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Logits are divided by it; 0: always the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Only so many of the likeliest tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Only the likeliest tokens that hold this share of the probability.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Only tokens at least so likely, as a share of the likeliest one's probability.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f64>,
    #[command(flatten)]
    host: HostArgs,
}

/// Writes, piece by piece unless JSON is asked for.
pub fn run(args: &Args, json: bool) -> Result<Answer, Trouble> {
    let sampling = args.sampling();
    sampling.check("").map_err(|refusal| Trouble::asked(refusal.reason).at(flag(&refusal.path)))?;
    let device = args.host.device()?;
    let loaded = kiln_train::run::load(&args.run, &device)?;
    let options = Options { sampling, tokens: args.tokens, ..Options::default() };
    let mut stream = Generator::new(&loaded.model, &loaded.tokenizer)?.stream(&args.prompt, &options)?;
    let show = |text: &str| if json { Ok(()) } else { piece(text) };
    show(&args.prompt)?;
    let (mut text, started) = (String::new(), Instant::now());
    while let Some(more) = block_on(stream.next())? {
        show(&more)?;
        text.push_str(&more);
    }
    if !json {
        // The line ends even where the text doesn't.
        piece("\n")?;
    }
    let answer = json!({
        "prompt": args.prompt,
        "text": text,
        "ids": stream.ids(),
        "tokens_per_second": stream.ids().len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": stream.stopped_by().map(kiln_infer::Stop::name),
    });
    Ok(Answer::new(answer, ""))
}

impl Args {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, seed, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, seed }
    }
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
