//! Every family of variants with its members' cards: what `kiln variants` lists and docs/variants.md shows.

use kiln_nn::{
    depth::Depth,
    head::Head,
    junction::Junction,
    norm::Norm,
    part::{
        Part,
        attention::{AnyProjection, AttentionSource},
        experts::Expert,
    },
    position::Position,
};
use kiln_peft::AdapterConfig;
use kiln_spec::{Card, Pattern, VariantFamily};
use kiln_train::{ObjectiveConfig, optimizer::OptimizerConfig, schedule::ScheduleConfig};

/// All families: parts of models first, then what they are trained with.
pub const FAMILIES: &[VariantFamily] = &[
    VariantFamily { name: "part", description: "parts of a sublayer", cards: Part::CARDS },
    VariantFamily { name: "source", description: "sources of keys and values", cards: AttentionSource::CARDS },
    VariantFamily { name: "projection", description: "attention projections", cards: AnyProjection::CARDS },
    VariantFamily { name: "expert", description: "expert networks of a mixture of experts", cards: Expert::CARDS },
    VariantFamily { name: "position", description: "position encodings", cards: Position::CARDS },
    VariantFamily { name: "pattern", description: "attention patterns", cards: Pattern::CARDS },
    VariantFamily {
        name: "score",
        description: "attention score functions",
        cards: kiln_kernels::attention::Score::CARDS,
    },
    VariantFamily { name: "norm", description: "normalization layers", cards: Norm::CARDS },
    VariantFamily { name: "junction", description: "residual connections and norm placement", cards: Junction::CARDS },
    VariantFamily { name: "depth", description: "depth rules: which tokens a block runs for", cards: Depth::CARDS },
    VariantFamily { name: "head", description: "output heads", cards: Head::CARDS },
    VariantFamily {
        name: "adapter",
        description: "adapters (parameter-efficient fine-tuning)",
        cards: AdapterConfig::CARDS,
    },
    VariantFamily { name: "objective", description: "training objectives", cards: ObjectiveConfig::CARDS },
    VariantFamily { name: "optimizer", description: "optimizers", cards: OptimizerConfig::CARDS },
    VariantFamily { name: "schedule", description: "learning-rate schedules", cards: ScheduleConfig::CARDS },
];

/// The columns of a list of cards.
pub const CARD_COLUMNS: [&str; 6] = ["name", "paper", "causal", "state", "time", "refuses"];

/// A card as a row under [`COLUMNS`].
pub fn card_row(card: &Card) -> [&'static str; 6] {
    [card.name, card.paper, card.causality.label(), card.state, card.time, card.incompatible_with]
}

/// The table of all families, as Markdown.
pub fn markdown() -> String {
    let cells = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let exempt = |card: &'static Card| {
        card.exemptions.iter().map(move |(law, why)| format!("\n- `{}` need not keep “{law}”: {why}", card.name))
    };
    let table = |family: &VariantFamily| {
        let rows = family.cards.iter().map(|card| {
            let name = format!("`{}`", card.name);
            cells(&[&[name.as_str()], &card_row(card)[1..]].concat())
        });
        let exempt: String = family.cards.iter().flat_map(exempt).collect();
        let exempt = if exempt.is_empty() { exempt } else { format!("{exempt}\n") };
        let head = cells(&CARD_COLUMNS) + &cells(&["---"; 6]);
        format!(
            "\n## {}\n\n{}.\n\n{head}{}{exempt}",
            family.name,
            capitalize(family.description),
            rows.collect::<String>()
        )
    };
    FAMILIES.iter().map(table).collect()
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
