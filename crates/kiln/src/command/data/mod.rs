//! `kiln data`: look at training data.

mod inspect;
mod inspect_text;

use super::{error::CliError, output::CommandOutput};

/// Subcommands of `data`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show format, lengths and five examples of data, with what is trained in color (marked [[…]] without colors).
    Inspect(inspect::Args),
}

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::Inspect(args) => inspect::run(args),
    }
}
