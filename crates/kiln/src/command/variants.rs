//! `kiln variants`: the available components, from their cards.
//!
//! A card states the paper of a component, whether it needs or forbids causal attention, its decode state, its time, the
//! kernels of a score function or bias, and what it cannot be combined with.
//!
//! JSON: `{"variants":[{"family","name","paper","causal","state","time","kernel","refuses"}]}`.

use super::{error::CliError, output::CommandOutput, table::format_table};
use crate::variants::{CARD_COLUMNS, FAMILIES, card_rows, to_json};
use kiln_spec::{VariantFamily, config::closest_match};

/// Arguments of `kiln variants`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show only components of this kind: part, source, projection, expert, position, pattern, score, norm, junction,
    /// depth, head, adapter, objective, optimizer or schedule.
    #[arg(long, value_name = "NAME")]
    family: Option<String>,
}

/// Lists the components of all families, or of one.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let name = args.family.as_deref().map(current_name);
    let families: Vec<&VariantFamily> =
        FAMILIES.iter().filter(|family| name.is_none_or(|name| family.name == name)).collect();
    if let (Some(name), true) = (name, families.is_empty()) {
        return Err(unknown_family(name));
    }
    let head = [&["family"], &CARD_COLUMNS[..]].concat();
    let rows: Vec<Vec<String>> =
        card_rows(families.iter().copied()).map(|row| row.into_iter().map(String::from).collect()).collect();
    Ok(CommandOutput::new(to_json(families), format_table(&head, &rows, &[])))
}

/// The current name of a family that had another name in earlier versions.
fn current_name(name: &str) -> &str {
    if name == "optimiser" { "optimizer" } else { name }
}

/// The help lists all families, and the nearest name first if there is one.
fn unknown_family(name: &str) -> CliError {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let nearest = closest_match(name, names.iter().copied());
    let suggestion = nearest.map_or(String::new(), |nearest| format!("did you mean `{nearest}`? "));
    let help = format!("{suggestion}families: {}", names.join(", "));
    CliError::usage(format!("unknown family `{name}`")).with_location("--family").with_help(help)
}
