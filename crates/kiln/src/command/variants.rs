//! `variants`: the parts that models are made of, and what they are trained with, from their cards.

use super::{error::CliError, output::CommandOutput, table::format_table};
use crate::variants::{CARD_COLUMNS, FAMILIES, card_row};
use kiln_spec::{Card, VariantFamily, config::closest_match};
use serde_json::{Map, Value, json};

/// Arguments of `variants`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show only this family.
    #[arg(long, value_name = "NAME")]
    family: Option<String>,
}

/// Lists them.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let wanted =
        |family: &&'static VariantFamily| args.family.as_ref().is_none_or(|name| family.name == canonical_family(name));
    let families: Vec<&'static VariantFamily> = FAMILIES.iter().filter(wanted).collect();
    if let (Some(name), true) = (&args.family, families.is_empty()) {
        return Err(unknown_family(name));
    }
    let cards = || families.iter().flat_map(|family| family.cards.iter().map(|card| (family.name, card)));
    let cells = |(family, card): (&'static str, &'static Card)| [&[family], &card_row(card)[..]].concat();
    let object = |card| {
        let keys = ["family"].into_iter().chain(CARD_COLUMNS);
        Value::Object(keys.map(String::from).zip(cells(card).into_iter().map(Value::from)).collect::<Map<_, _>>())
    };
    let lines: Vec<Vec<String>> = cards().map(|card| cells(card).into_iter().map(String::from).collect()).collect();
    let head = [&["family"], &CARD_COLUMNS[..]].concat();
    Ok(CommandOutput::new(
        json!({ "variants": cards().map(object).collect::<Vec<_>>() }),
        format_table(&head, &lines, &[]),
    ))
}

/// The current name of a family: `optimizer` was called `optimiser`.
fn canonical_family(name: &str) -> &str {
    if name == "optimiser" { "optimizer" } else { name }
}

fn unknown_family(name: &str) -> CliError {
    let names = || FAMILIES.iter().map(|family| family.name);
    let meant = closest_match(name, names()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let all = names().collect::<Vec<_>>().join(", ");
    CliError::usage(format!("no family `{name}` of variants")).with_help(format!("{meant}families: {all}"))
}
