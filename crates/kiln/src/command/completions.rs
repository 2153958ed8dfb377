//! `kiln completions`: shell completion scripts.

use super::output::CommandOutput;
use clap_complete::{Shell, generate};
use serde_json::json;

/// Arguments of `kiln completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to print the script for.
    shell: Shell,
}

/// Prints the completion script of `command` for a shell.
pub fn run(args: &Args, command: &mut clap::Command) -> CommandOutput {
    let mut script = Vec::new();
    generate(args.shell, command, "kiln", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    CommandOutput::new(json!({ "shell": args.shell.to_string(), "script": script }), script)
}
