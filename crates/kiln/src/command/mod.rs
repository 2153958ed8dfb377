//! The command line: one file per subcommand, each from its arguments to a `CommandOutput`.
//!
//! Messages and progress go to standard error, results to standard output. With `--json` the last line of standard
//! output is one JSON object; an error is `{"error":{"kind","message","where","help"}}`. Exit codes: 0 success, 1
//! failure, 2 invalid arguments or recipe, 130 after Ctrl-C with the state saved.
//!
//! This module needs the feature `cli`, which is enabled by default. It has no interface besides [`main`].

mod ascii_chart;
mod base_model;
mod chat;
mod color;
mod compare;
mod completions;
mod compression;
mod config_diff;
mod dashboard;
mod data;
mod device_args;
mod devices;
mod embed;
mod error;
mod error_conversions;
mod eval;
mod evaluator;
mod example_data;
mod example_row;
mod export;
mod foreign_flags;
mod frozen_memory;
mod generate;
mod generation_args;
mod inspect;
mod inspect_text;
mod interrupt;
mod layer_table;
mod line_width;
mod logits;
mod memory_check;
mod metrics_summary;
mod metrics_text;
mod model_args;
mod model_overrides;
mod model_summary;
mod objective;
mod objective_example;
mod objective_metrics;
mod out_path;
mod output;
mod progress;
mod recipe;
mod recipe_choice;
mod recipe_source;
mod run_report;
mod run_summary;
mod sampling_args;
mod stage_flags;
mod start_record;
mod table;
mod token_args;
mod token_text;
mod tokenizer;
mod train;
mod variants;
mod verify;
mod warnings;
mod web;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use error::CliError;
use output::CommandOutput;
use serde_json::json;
use std::process::ExitCode;

/// Train, evaluate, run and convert language models.
///
/// Arguments before the subcommand.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, long_about = None, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    /// Print the result as one JSON object, on the last line of standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Subcommands, in the order of `kiln --help`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Train or fine-tune a model (default: the built-in stories).
    Train(Box<train::Args>),
    /// Generate text from a prompt, or fill in masked text.
    Generate(generate::Args),
    /// Chat with a model, using its chat template.
    Chat(chat::Args),
    /// Compute sentence embeddings.
    Embed(embed::Args),
    /// Compute the logits of a token sequence.
    Logits(logits::Args),
    /// Evaluate a model on validation text or on given text.
    Eval(eval::Args),
    /// Check a model: chunked, packed and padded inputs and the fused kernels must give the same results; the tokenizer
    /// and chat template must not lose text.
    Verify(verify::Args),
    /// Export a model to Hugging Face, GGUF or PEFT format.
    Export(export::Args),
    /// Show the architecture, parameters and cost of a model; with --text, its attention and layer predictions.
    Inspect(inspect::Args),
    /// Compare training runs.
    Compare(compare::Args),
    /// Look at training data.
    #[command(subcommand)]
    Data(data::Command),
    /// Train, inspect and use tokenizers.
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
    /// List the available devices.
    Devices,
    /// List, show and explain recipes.
    #[command(subcommand)]
    Recipe(recipe::Command),
    /// List and show training objectives.
    #[command(subcommand)]
    Objective(objective::Command),
    /// List the available architecture and training components, with their papers, costs and restrictions.
    Variants(variants::Args),
    /// Serve the web pages, which train and run models in the browser, on this machine.
    Web(web::Args),
    /// Print a shell completion script.
    Completions(completions::Args),
}

impl Command {
    /// Runs the command. `json`: the caller prints the JSON result, so that nothing else may go to standard output.
    fn run(&self, json: bool) -> Result<CommandOutput, CliError> {
        match self {
            Self::Train(args) => train::run(args, json),
            Self::Generate(args) => generate::run(args, json),
            Self::Chat(args) => chat::run(args, json),
            Self::Embed(args) => embed::run(args),
            Self::Logits(args) => logits::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Export(args) => export::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Data(command) => data::run(command),
            Self::Tokenizer(command) => tokenizer::run(command),
            Self::Devices => Ok(devices::run()),
            Self::Recipe(command) => recipe::run(command),
            Self::Objective(command) => objective::run(command),
            Self::Variants(args) => variants::run(args),
            Self::Web(args) => web::run(args, json),
            Self::Completions(args) => Ok(completions::run(args, &mut Cli::command())),
        }
    }
}

/// Parses the command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    warnings::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_clap_error(&error),
    };
    let exit_code = cli.command.run(cli.json).and_then(|output| {
        output::print_result(&if cli.json { output.json.to_string() } else { output.text })?;
        Ok(output.exit_code)
    });
    ExitCode::from(exit_code.unwrap_or_else(|error| report(&error, cli.json)))
}

/// Prints what clap returns as an error: help, version, or invalid arguments.
fn report_clap_error(error: &clap::Error) -> ExitCode {
    // The arguments could not be parsed, so that `--json` is looked up by hand.
    let json = std::env::args_os().any(|argument| argument == "--json");
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into()).collect();
    if let Some(error) = foreign_flags::foreign_flag_error(error, &arguments) {
        return ExitCode::from(report(&error, json));
    }
    if json && !is_help {
        return ExitCode::from(report(&CliError::from(error), true));
    }
    // A closed output is not an error here.
    let _ = error.print();
    ExitCode::from(if is_help { 0 } else { error::EXIT_USAGE })
}

/// Prints an error and returns its exit code.
///
/// With `json`, the error also goes to standard output.
fn report(error: &CliError, json: bool) -> u8 {
    error.report();
    if json {
        // If standard output is closed, nobody reads the JSON.
        let _ = output::print_result(&json!({ "error": error.to_json() }).to_string());
    }
    error.exit_code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_earlier_versions_still_parse() {
        let lines = [
            "generate run --prompt a --tokens 3 --blank 2 --at-once",
            "chat run --tokens 3 --anew",
            "eval run --length 64",
            "compare run --length 64 --length 128",
            "export run --format hf --out folder --numbers bf16 --shard 100",
            "tokenizer train text.txt -o tokenizer.json --vocab 512",
            "tokenizer encode run --text a --plain",
        ];
        let current = [
            "generate run --prompt a --max-new-tokens 3 --mask-length 2 --parallel",
            "chat run --max-new-tokens 3 --no-prefix-cache",
            "eval run --sequence-length 64",
            "compare run --sequence-length 64 --sequence-length 128",
            "export run --format hf --out folder --dtype bf16 --max-shard-size 100",
            "tokenizer train text.txt -o tokenizer.json --vocab-size 512",
            "tokenizer encode run --text a --no-special-tokens",
        ];
        for (earlier, current) in lines.into_iter().zip(current) {
            assert_eq!(parse(earlier), parse(current));
        }
    }

    #[test]
    fn help_shows_current_flags_only() {
        for name in ["generate", "chat", "eval", "compare", "export"] {
            let mut command = Cli::command();
            let help = command.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            for earlier in
                ["--tokens", "--blank", "--at-once", "--anew", "--length", "--numbers", "--shard", "--backend"]
            {
                assert!(!help.contains(&format!("{earlier} ")), "{name} {earlier}");
            }
            assert!(help.contains("--device <DEVICE>"), "{name}");
        }
    }

    fn parse(line: &str) -> String {
        let cli = Cli::try_parse_from(std::iter::once("kiln").chain(line.split(' ')));
        format!("{:?}", cli.unwrap_or_else(|error| panic!("{line}: {error}")))
    }
}
