//! `variants`: the parts that models are made of, and what they are trained with, from their cards.

use super::{output::Answer, table::table, trouble::Trouble};
use crate::variants::{COLUMNS, FAMILIES, row};
use kiln_spec::{Card, Family, config::nearest};
use serde_json::{Map, Value, json};

/// Arguments of `variants`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this family.
    #[arg(long)]
    family: Option<String>,
}

/// Lists them.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let wanted = |family: &&'static Family| args.family.as_ref().is_none_or(|name| family.name == name);
    let families: Vec<&'static Family> = FAMILIES.iter().filter(wanted).collect();
    if let (Some(name), true) = (&args.family, families.is_empty()) {
        return Err(unknown(name));
    }
    let cards = || families.iter().flat_map(|family| family.cards.iter().map(|card| (family.name, card)));
    let cells = |(family, card): (&'static str, &'static Card)| [&[family], &row(card)[..]].concat();
    let object = |card| {
        let keys = ["family"].into_iter().chain(COLUMNS);
        Value::Object(keys.map(String::from).zip(cells(card).into_iter().map(Value::from)).collect::<Map<_, _>>())
    };
    let lines: Vec<Vec<String>> = cards().map(|card| cells(card).into_iter().map(String::from).collect()).collect();
    let head = [&["family"], &COLUMNS[..]].concat();
    Ok(Answer::new(json!({ "variants": cards().map(object).collect::<Vec<_>>() }), table(&head, &lines, &[])))
}

fn unknown(name: &str) -> Trouble {
    let names = || FAMILIES.iter().map(|family| family.name);
    let meant = nearest(name, names()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let all = names().collect::<Vec<_>>().join(", ");
    Trouble::asked(format!("no family `{name}` of variants")).help(format!("{meant}families: {all}"))
}
