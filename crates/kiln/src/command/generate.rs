//! `kiln generate MODEL`: text after a prompt, or in place of `___` in it.
//!
//! ```console
//! kiln generate runs/stories --prompt "Once upon a time" --temperature 0.8 --top-p 0.95
//! kiln generate runs/masked --prompt "Anna had a ___ kite." --mask-length 1
//! ```
//!
//! Standard output has the prompt and the text, as it is generated. Sampling is reproducible: the same seed gives the same text.
//!
//! JSON: `{"prompt","text","ids","tokens_per_second","stopped_by"}`; `stopped_by` is `eos` (a stop
//! token), `tokens` (--max-new-tokens reached) or `length` (no positions left). With `___`,
//! `text` is the whole text, `blanks` has the parts that were filled in, and `stopped_by` is `blanks`.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_chunk},
    tokenizer::warn_unencodable,
};
use kiln_infer::{BLANK, FinishReason, GenerateOptions, GenerationMode, Generator, InfillOptions, Sampling, block_on};
use kiln_spec::ValidationError;
use serde_json::json;
use std::time::Instant;

/// Arguments of `kiln generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue (default: empty). With a model trained with the objective `masked` or `unified`, text to fill
    /// in: each `___` is replaced, and the complete text is printed. `masked` models cannot continue text.
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
    /// Min-p sampling: exclude tokens less likely than P times the most likely token (default: off).
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Fills in a prompt with `___` if the model can, else generates after the prompt.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    args.sampling().check("").map_err(option_error)?;
    let device = args.device.open()?;
    let loaded = args.model.source()?.load(&device)?;
    warn_unencodable(&loaded.tokenizer, &args.prompt);
    let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation.mode);
    let GenerationMode { generates, infills } = generator.mode();
    if infills.is_some() && (generates.is_none() || args.prompt.contains(BLANK)) {
        return infill(args, &generator);
    }
    generate_stream(args, &generator, loaded.generation.stop_token_ids.clone(), json)
}

/// Prints the completed text at the end, because tokens are not filled in from left to right.
fn infill(args: &Args, generator: &Generator) -> Result<CommandOutput, CliError> {
    let options = InfillOptions {
        sampling: args.sampling(),
        mask_length: usize::from(args.mask_length),
        parallel: args.parallel,
    };
    let started = Instant::now();
    let output = block_on(generator.infill(&[&args.prompt], &options))?.remove(0);
    let json = json!({
        "prompt": args.prompt,
        "text": output.text,
        "blanks": output.blanks,
        "ids": output.ids,
        "tokens_per_second": output.ids.len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": "blanks",
    });
    Ok(CommandOutput::new(json, output.text))
}

/// Prints the prompt and the text as it is generated; with `json`, nothing.
///
/// Generation ends at an end token of the tokenizer, at one of `stop_token_ids`, at the maximum number of new tokens,
/// or at the last position of the model.
fn generate_stream(
    args: &Args,
    generator: &Generator,
    stop_token_ids: Vec<u32>,
    json: bool,
) -> Result<CommandOutput, CliError> {
    let options = GenerateOptions {
        sampling: args.sampling(),
        max_new_tokens: args.max_new_tokens,
        stop_token_ids,
        ..GenerateOptions::default()
    };
    let mut stream = generator.stream(&args.prompt, &options)?;
    print_unless(json, &args.prompt)?;
    let started = Instant::now();
    let mut text = String::new();
    while let Some(chunk) = block_on(stream.next())? {
        print_unless(json, &chunk)?;
        text.push_str(&chunk);
    }
    print_unless(json, "\n")?;
    let json = json!({
        "prompt": args.prompt,
        "text": text,
        "ids": stream.ids(),
        "tokens_per_second": stream.ids().len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": stream.finish_reason().map(FinishReason::name),
    });
    Ok(CommandOutput::new(json, ""))
}

/// Prints a part of the result, unless it is JSON.
fn print_unless(json: bool, text: &str) -> Result<(), CliError> {
    if json { Ok(()) } else { print_chunk(text) }
}

impl Args {
    /// The sampling options of the command line.
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, seed, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, seed }
    }
}

/// An invalid sampling option, with the flag that sets it as the location.
pub(super) fn option_error(error: ValidationError) -> CliError {
    let flag = format!("--{}", error.path.replace('_', "-"));
    CliError::usage(error.reason).with_location(flag)
}
