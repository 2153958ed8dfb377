//! The command line: a file a subcommand, each from its arguments to an `Answer`.
//!
//! Words for people go to standard error, results to standard output; with `--json` the last line there is one object.

mod ascii_chart;
mod chat;
mod color;
mod compare;
mod completions;
mod compression;
mod config_diff;
mod device_args;
mod devices;
mod embed;
mod error;
mod eval;
mod evaluator;
mod export;
mod generate;
mod inspect;
mod inspect_text;
mod interrupt;
mod logits;
mod memory_check;
mod metrics_summary;
mod metrics_text;
mod model_args;
mod model_summary;
mod objective;
mod objective_example;
mod output;
mod progress;
mod recipe;
mod recipe_source;
mod run_report;
mod run_summary;
mod table;
mod tokenizer;
mod train;
mod variants;
mod verify;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use error::CliError;
use output::CommandOutput;
use serde_json::json;
use std::process::ExitCode;

/// Trains language models made of parts, and writes with them.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, about, long_about = None, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    /// Ends standard output with one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a model: without a recipe, on the built-in stories.
    Train(Box<train::Args>),
    /// Writes on after a prompt.
    Generate(generate::Args),
    /// Holds a conversation by the model's own template.
    Chat(chat::Args),
    /// Texts as vectors.
    Embed(embed::Args),
    /// What a model says after each of some tokens.
    Logits(logits::Args),
    /// Measures a model on held-out text, or on any text.
    Eval(eval::Args),
    /// Whether a model computes the same however it is asked.
    Verify(verify::Args),
    /// Writes a model in other programs' files.
    Export(export::Args),
    /// Shows what a model is made of and what it costs.
    Inspect(inspect::Args),
    /// Puts runs beside each other.
    Compare(compare::Args),
    /// Turns text into tokens and back.
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
    /// Lists where models can be computed.
    Devices,
    /// Explains, lists and shows recipes.
    #[command(subcommand)]
    Recipe(recipe::Command),
    /// Lists and shows what models are trained for.
    #[command(subcommand)]
    Objective(objective::Command),
    /// Lists the parts that models are made of and what they are trained with.
    Variants(variants::Args),
    /// Prints the completions of a shell.
    Completions(completions::Args),
}

impl Command {
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
            Self::Tokenizer(command) => tokenizer::run(command),
            Self::Devices => Ok(devices::run()),
            Self::Recipe(command) => recipe::run(command),
            Self::Objective(command) => objective::run(command),
            Self::Variants(args) => variants::run(args),
            Self::Completions(args) => Ok(completions::run(args, &mut Cli::command())),
        }
    }
}

/// Reads the command line, does what it says, and returns 0, 1 (failed), 2 (asked wrongly) or 130 (stopped by Ctrl-C,
/// state saved).
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_clap_error(&error),
    };
    let answered = cli.command.run(cli.json).and_then(|answer| {
        output::print_result(&if cli.json { answer.json.to_string() } else { answer.text })?;
        Ok(answer.exit_code)
    });
    ExitCode::from(answered.unwrap_or_else(|trouble| report(&trouble, cli.json)))
}

/// What clap has to say: help and the version too come as errors.
fn report_clap_error(error: &clap::Error) -> ExitCode {
    // Whoever asked for JSON gets it, even though nothing else could be read.
    let json = std::env::args_os().any(|argument| argument == "--json");
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        return ExitCode::from(report(&CliError::from(error), true));
    }
    // A reader that has gone away misses nothing.
    let _ = error.print();
    ExitCode::from(if asked { 0 } else { error::EXIT_USAGE })
}

fn report(trouble: &CliError, json: bool) -> u8 {
    trouble.report();
    if json {
        let (kind, message) = (&trouble.kind, &trouble.message);
        let error = json!({ "kind": kind, "message": message, "where": trouble.location, "help": trouble.help });
        // There is nowhere left to say that even this could not be written.
        let _ = output::print_result(&json!({ "error": error }).to_string());
    }
    trouble.exit_code
}
