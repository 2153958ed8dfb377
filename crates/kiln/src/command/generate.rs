//! `generate`: writes on after a prompt, or fills the blanks in it.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_chunk},
    tokenizer::warn_unencodable,
};
use kiln_infer::{BLANK, GenerateOptions, GenerationMode, Generator, InfillOptions, Sampling, block_on};
use serde_json::json;
use std::time::Instant;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompt (default: empty). For models trained with `masked` or `unified`, each `___` marks text to fill in, and the
    /// completed text is printed; `masked` models can only fill in.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// Number of mask tokens for each `___`.
    #[arg(long, alias = "blank", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    mask_length: u16,
    /// Fill in all mask tokens in one forward pass. Default: one at a time, the most confident first.
    #[arg(long, alias = "at-once")]
    parallel: bool,
    /// Maximum number of new tokens.
    #[arg(long, alias = "tokens", value_name = "N", default_value_t = 256)]
    max_new_tokens: usize,
    /// Random seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Sampling temperature. 0: greedy decoding.
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Sample from the K most likely tokens (default: all).
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Nucleus sampling: sample from the most likely tokens with total probability P (default: all).
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Minimum probability, relative to the most likely token (default: none).
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Writes, piece by piece unless JSON is asked for.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    let sampling = args.sampling();
    sampling.check("").map_err(|refusal| CliError::usage(refusal.reason).with_location(flag_name(&refusal.path)))?;
    let device = args.device.open()?;
    let loaded = args.model.source()?.load(&device)?;
    warn_unencodable(&loaded.tokenizer, &args.prompt);
    let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation_mode);
    let GenerationMode { generates: writes, infills: fills } = generator.mode();
    if fills.is_some() && (writes.is_none() || args.prompt.contains(BLANK)) {
        return infill(args, &generator, sampling);
    }
    generate_stream(args, &generator, sampling, loaded.stop_tokens.clone(), json)
}

fn infill(args: &Args, generator: &Generator, sampling: Sampling) -> Result<CommandOutput, CliError> {
    let (filling, started) = (
        InfillOptions { sampling, mask_length: usize::from(args.mask_length), parallel: args.parallel },
        Instant::now(),
    );
    let filled = block_on(generator.infill(&[&args.prompt], &filling))?.remove(0);
    let answer = json!({
        "prompt": args.prompt,
        "text": filled.text,
        "blanks": filled.blanks,
        "ids": filled.ids,
        "tokens_per_second": filled.ids.len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": "blanks",
    });
    Ok(CommandOutput::new(answer, filled.text))
}

fn generate_stream(
    args: &Args,
    generator: &Generator,
    sampling: Sampling,
    stop: Vec<u32>,
    json: bool,
) -> Result<CommandOutput, CliError> {
    let options = GenerateOptions {
        sampling,
        max_new_tokens: args.max_new_tokens,
        stop_token_ids: stop,
        ..GenerateOptions::default()
    };
    let mut stream = generator.stream(&args.prompt, &options)?;
    let show = |text: &str| if json { Ok(()) } else { print_chunk(text) };
    show(&args.prompt)?;
    let (mut text, started) = (String::new(), Instant::now());
    while let Some(more) = block_on(stream.next())? {
        show(&more)?;
        text.push_str(&more);
    }
    if !json {
        // The line ends even where the text doesn't.
        print_chunk("\n")?;
    }
    let answer = json!({
        "prompt": args.prompt,
        "text": text,
        "ids": stream.ids(),
        "tokens_per_second": stream.ids().len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": stream.finish_reason().map(kiln_infer::FinishReason::name),
    });
    Ok(CommandOutput::new(answer, ""))
}

impl Args {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, seed, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, seed }
    }
}

/// The flag that a key of the sampling is set by.
pub(super) fn flag_name(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
