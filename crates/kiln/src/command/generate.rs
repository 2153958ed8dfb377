//! `kiln generate MODEL`: text after a prompt, or in place of `___` in it.
//!
//! ```console
//! kiln generate runs/stories --prompt "Once upon a time" --temperature 0.8 --top-p 0.95
//! kiln generate runs/masked --prompt "Anna had a ___ kite." --mask-length 1
//! ```
//!
//! Standard output has the prompt and the text, as it is generated. Sampling is reproducible: the same seed gives the same text.
//!
//! The model's `generation_config.json` applies, see `docs/generation.md`; flags take precedence.
//!
//! JSON: `{"prompt","text","ids","prompt_tokens","prefill_tokens_per_second","decode_tokens_per_second",
//! "tokens_per_second","stopped_by"}`; `stopped_by` is `eos` (a stop token), `tokens` (--max-new-tokens reached), `length`
//! (--max-length reached or no positions left) or `stop` (a text of --stop). `ids` has the tokens of a text of --stop,
//! `text` has not. The time of the first token is that of the prompt (prefill); a speed without tokens is null. With `___`,
//! `text` is the whole text, `blanks` has the parts that were filled in, `stopped_by` is `blanks`, and the numbers of prompt
//! tokens, prefill and decoding are null. `--alternatives N` adds `"tokens"`, one object for each id: `{"id","text",
//! "probability","alternatives":[{"id","text","probability"}]}`.

use super::{
    device_args::{ArithmeticArgs, DeviceArgs, DtypeArgs},
    error::CliError,
    generation_args::GenerationArgs,
    model_args::ModelArgs,
    output::{CommandOutput, print_chunk},
    tokenizer::warn_unencodable,
};
use kiln_data::Tokenizer;
use kiln_infer::{
    Alternative, BLANK, FinishReason, GenerateOptions, GenerationMode, Generator, InfillOptions, TextStream, TextToken,
    block_on,
};
use kiln_kernels::exact::Arithmetic;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
    /// Number of most likely tokens to list for each new token, with their probabilities. Needs `--json`.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, hide_short_help = true)]
    alternatives: usize,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    dtype: DtypeArgs,
    #[command(flatten)]
    arithmetic: ArithmeticArgs,
    #[command(flatten)]
    generation: GenerationArgs,
}

/// Fills in a prompt with `___` if the model can, else generates after the prompt.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    args.generation.check()?;
    let arithmetic = args.arithmetic.arithmetic(&args.device)?;
    let device = args.device.open()?;
    let precision = args.dtype.precision(&device)?;
    let loaded = args.model.source()?.load_as(&device, precision)?;
    warn_unencodable(&loaded.tokenizer, &args.prompt);
    let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation.mode);
    let GenerationMode { generates, infills } = generator.mode();
    let is_infill = infills.is_some() && (generates.is_none() || args.prompt.contains(BLANK));
    if args.alternatives > 0 && (is_infill || !json) {
        let reason = if is_infill { "the model fills in `___`" } else { "alternatives are printed with --json only" };
        log::warn!("--alternatives has no effect: {reason}");
    }
    if is_infill {
        return infill(args, &generator, arithmetic);
    }
    if args.parallel || args.mask_length != 1 {
        log::warn!("--parallel and --mask-length have no effect: the model continues the prompt and fills in no `___`");
    }
    let prompt = generator.encode_prompt(&args.prompt)?;
    let alternatives = if json { args.alternatives } else { 0 };
    let defaults = GenerateOptions { arithmetic, alternatives, ..GenerateOptions::default() };
    let options = args.generation.resolve(defaults, &loaded)?;
    let options = options.within_context(prompt.len(), &args.generation.settings(), &loaded.generation);
    generate_stream(args, &generator, prompt, &options, json)
}

/// Prints the completed text at the end, because tokens are not filled in from left to right.
fn infill(args: &Args, generator: &Generator, arithmetic: Arithmetic) -> Result<CommandOutput, CliError> {
    let options = InfillOptions {
        sampling: args.generation.infill_sampling(),
        mask_length: usize::from(args.mask_length),
        parallel: args.parallel,
        mask_unassigned: args.generation.mask_unassigned(),
        arithmetic,
    };
    let started = Instant::now();
    let output = block_on(generator.infill(&[&args.prompt], &options))?.remove(0);
    let json = json!({
        "prompt": args.prompt,
        "text": output.text,
        "blanks": output.blanks,
        "ids": output.ids,
        "prompt_tokens": null,
        "prefill_tokens_per_second": null,
        "decode_tokens_per_second": null,
        "tokens_per_second": output.ids.len() as f64 / started.elapsed().as_secs_f64(),
        "stopped_by": "blanks",
    });
    Ok(CommandOutput::new(json, output.text))
}

/// Prints the prompt and the text as it is generated; with `json`, nothing.
///
/// Generation ends at a stop token, before a stop text, at the maximum number of tokens, or at the last position of the
/// model.
fn generate_stream(
    args: &Args,
    generator: &Generator,
    prompt: Vec<u32>,
    options: &GenerateOptions,
    json: bool,
) -> Result<CommandOutput, CliError> {
    let prompt_tokens = prompt.len();
    let mut stream = generator.stream_ids(prompt, options)?;
    print_unless(json, &args.prompt)?;
    let (text, prefill, total) = read_stream(&mut stream, json)?;
    print_unless(json, "\n")?;
    let num_tokens = stream.ids().len();
    let mut json = json!({
        "prompt": args.prompt,
        "text": text,
        "ids": stream.ids(),
        "prompt_tokens": prompt_tokens,
        "prefill_tokens_per_second": per_second(prompt_tokens, prefill),
        "decode_tokens_per_second": per_second(num_tokens.saturating_sub(1), total.saturating_sub(prefill)),
        "tokens_per_second": per_second(num_tokens, total),
        "stopped_by": stream.finish_reason().map(FinishReason::name),
    });
    if options.alternatives > 0 {
        json["tokens"] = stream.tokens().iter().map(|token| token_json(token, generator.tokenizer())).collect();
    }
    Ok(CommandOutput::new(json, ""))
}

/// A token with its text, its probability and its alternatives. The text of an alternative is that of its bytes alone; a
/// special token has its name.
fn token_json(token: &TextToken, tokenizer: &Tokenizer) -> Value {
    let alternative = |token: &Alternative| {
        let text = match tokenizer.is_special(token.id) {
            true => tokenizer.id_to_token(token.id),
            false => String::from_utf8_lossy(tokenizer.token_bytes(token.id)).into_owned(),
        };
        json!({ "id": token.id, "text": text, "probability": token.probability() })
    };
    json!({
        "id": token.id,
        "text": token.text,
        "probability": token.probabilities.probability(),
        "alternatives": token.probabilities.alternatives.iter().map(alternative).collect::<Value>(),
    })
}

/// Reads a text to its end and prints it. Returns the text, the time to the first token, and the whole time.
fn read_stream(stream: &mut TextStream, json: bool) -> Result<(String, Duration, Duration), CliError> {
    let started = Instant::now();
    let (mut text, mut prefill) = (String::new(), None);
    while let Some(chunk) = block_on(stream.next())? {
        prefill.get_or_insert_with(|| started.elapsed());
        print_unless(json, &chunk)?;
        text.push_str(&chunk);
    }
    Ok((text, prefill.unwrap_or_default(), started.elapsed()))
}

/// Tokens per second; `None` without tokens or time.
fn per_second(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

/// Prints a part of the result, unless it is JSON.
fn print_unless(json: bool, text: &str) -> Result<(), CliError> {
    if json { Ok(()) } else { print_chunk(text) }
}
