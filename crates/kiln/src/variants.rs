//! All families of interchangeable components, with the card of each component.
//!
//! `kiln variants` prints them, `docs/variants.md` is generated from them, and the property tests iterate over them.
//!
//! ```
//! let families = kiln::variants::FAMILIES;
//! let patterns = families.iter().find(|family| family.name == "pattern").unwrap();
//! assert!(patterns.cards.iter().any(|card| card.name == "window"));
//! ```

use kiln_nn::{
    depth::Depth,
    head::Head,
    junction::Junction,
    norm::Norm,
    part::{
        Part,
        attention::{AnyProjection, AnyScore, AttentionSource},
        experts::Expert,
        feed_forward::activation::Activation,
    },
    position::Position,
    streams::ResidualStreams,
};
use kiln_peft::AdapterConfig;
use kiln_spec::{Card, Pattern, VariantFamily, card::ALL_LAWS};
use kiln_train::{ObjectiveConfig, optimizer::OptimizerConfig, schedule::ScheduleConfig};
use serde_json::{Map, Value, json};

/// All families: first the components of models, then those of training.
pub const FAMILIES: &[VariantFamily] = &[
    VariantFamily { name: "part", description: "parts of a sublayer", cards: Part::CARDS },
    VariantFamily {
        name: "source",
        description: "sources of keys and values (`segments`: prefix tuning)",
        cards: AttentionSource::CARDS,
    },
    VariantFamily {
        name: "projection",
        description: "attention projections (`heads`: multi-head, grouped-query and multi-query; `latent`: MLA)",
        cards: AnyProjection::CARDS,
    },
    VariantFamily { name: "expert", description: "expert networks of a mixture of experts", cards: Expert::CARDS },
    VariantFamily { name: "activation", description: "activation functions", cards: Activation::CARDS },
    VariantFamily { name: "position", description: "position encodings", cards: Position::CARDS },
    VariantFamily {
        name: "pattern",
        description: "attention patterns (`global`: full attention, no restriction; `global_tokens`: Longformer's global \
                      attention)",
        cards: Pattern::CARDS,
    },
    VariantFamily { name: "score", description: "attention score functions", cards: AnyScore::CARDS },
    VariantFamily { name: "norm", description: "normalization layers", cards: Norm::CARDS },
    VariantFamily {
        name: "residual_streams",
        description: "residual connections: one residual stream, or several that are mixed",
        cards: ResidualStreams::CARDS,
    },
    VariantFamily {
        name: "junction",
        description: "norm placement around the residual connection",
        cards: Junction::CARDS,
    },
    VariantFamily { name: "depth", description: "depth rules: which tokens a block runs for", cards: Depth::CARDS },
    VariantFamily { name: "head", description: "output heads", cards: Head::CARDS },
    VariantFamily {
        name: "adapter",
        description: "adapters (parameter-efficient fine-tuning)",
        cards: AdapterConfig::CARDS,
    },
    VariantFamily {
        name: "objective",
        description: "training objectives (`full`: causal language modeling)",
        cards: ObjectiveConfig::CARDS,
    },
    VariantFamily { name: "optimizer", description: "optimizers", cards: OptimizerConfig::CARDS },
    VariantFamily { name: "schedule", description: "learning-rate schedules", cards: ScheduleConfig::CARDS },
];

/// Columns of a table of cards.
pub const CARD_COLUMNS: [&str; 7] = ["name", "paper", "causal", "state", "time", "kernel", "refuses"];

/// The cells of a card under [`CARD_COLUMNS`].
pub fn card_row(card: &Card) -> [&'static str; 7] {
    let kernel = card.kernel.map_or("", |kernel| kernel.label());
    [card.name, card.paper, card.causality.label(), card.state, card.time, kernel, card.incompatible_with]
}

/// One row for each card of the families: the name of the family, and the cells of [`card_row`].
pub(crate) fn card_rows<'a>(
    families: impl IntoIterator<Item = &'a VariantFamily>,
) -> impl Iterator<Item = Vec<&'static str>> {
    let with_family =
        |family: &'a VariantFamily| family.cards.iter().map(move |card| [&[family.name], &card_row(card)[..]].concat());
    families.into_iter().flat_map(with_family)
}

/// The cards of families as JSON, as `kiln variants --json` prints them:
/// `{"variants":[{"family","name","paper","causal","state","time","kernel","refuses","example"}]}`. `example` is a TOML value of the
/// family's configuration key.
///
/// ```
/// let json = kiln::variants::to_json(kiln::variants::FAMILIES);
/// assert!(json["variants"].as_array().unwrap().iter().any(|card| card["name"] == "window"));
/// ```
pub fn to_json<'a>(families: impl IntoIterator<Item = &'a VariantFamily>) -> Value {
    let of_family = |family: &'a VariantFamily| family.cards.iter().map(|card| card_json(family, card));
    let variants: Vec<Value> = families.into_iter().flat_map(of_family).collect();
    json!({ "variants": variants })
}

fn card_json(family: &VariantFamily, card: &Card) -> Value {
    let columns = CARD_COLUMNS.iter().zip(card_row(card)).map(|(key, cell)| ((*key).to_owned(), cell.into()));
    let named = [("family".to_owned(), family.name.into())].into_iter().chain(columns);
    Value::Object(named.chain([("example".to_owned(), card.example_toml().into())]).collect::<Map<_, _>>())
}

/// The tables of all families as Markdown, with the exemptions of each card below its table.
pub fn markdown() -> String {
    FAMILIES.iter().map(family_markdown).collect()
}

/// A heading, the description as a sentence, and the table.
fn family_markdown(family: &VariantFamily) -> String {
    let mut text = format!("\n## {}\n\n{}.\n\n", family.name, capitalize(family.description));
    text += &markdown_row(&CARD_COLUMNS);
    text += &markdown_row(&["---"; CARD_COLUMNS.len()]);
    for card in family.cards {
        let name = format!("`{}`", card.name);
        text += &markdown_row(&[&[name.as_str()], &card_row(card)[1..]].concat());
    }
    let exemptions: String = family.cards.iter().flat_map(exemption_lines).collect();
    if exemptions.is_empty() { text } else { format!("{text}{exemptions}\n") }
}

/// One list item for each property test that a card is exempt from.
fn exemption_lines(card: &'static Card) -> impl Iterator<Item = String> {
    card.exemptions.iter().map(|(law, reason)| {
        let law = if *law == ALL_LAWS { (*law).to_string() } else { format!("the law “{law}”") };
        format!("\n- `{}` is exempt from {law}: {reason}", card.name)
    })
}

/// A line of a Markdown table.
fn markdown_row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// `text` with an upper-case first letter.
fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
