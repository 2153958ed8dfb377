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
    VariantFamily { name: "part", description: "what works within a sublayer", cards: Part::CARDS },
    VariantFamily {
        name: "source",
        description: "where an attention's keys and values come from",
        cards: AttentionSource::CARDS,
    },
    VariantFamily {
        name: "projection",
        description: "how an attention makes and merges queries, keys and values",
        cards: AnyProjection::CARDS,
    },
    VariantFamily { name: "expert", description: "what each expert of a mixture is", cards: Expert::CARDS },
    VariantFamily { name: "position", description: "how order enters", cards: Position::CARDS },
    VariantFamily { name: "pattern", description: "who may look at whom, by geometry", cards: Pattern::CARDS },
    VariantFamily {
        name: "score",
        description: "how looks become weights",
        cards: kiln_kernels::attention::Score::CARDS,
    },
    VariantFamily { name: "norm", description: "what normalises the residual stream", cards: Norm::CARDS },
    VariantFamily {
        name: "junction",
        description: "what joins a sublayer to the residual stream",
        cards: Junction::CARDS,
    },
    VariantFamily { name: "depth", description: "for which tokens a block runs", cards: Depth::CARDS },
    VariantFamily { name: "head", description: "what hidden states are turned into", cards: Head::CARDS },
    VariantFamily {
        name: "adapter",
        description: "what stands beside linear maps and trains instead of them",
        cards: AdapterConfig::CARDS,
    },
    VariantFamily { name: "objective", description: "what is trained for", cards: ObjectiveConfig::CARDS },
    VariantFamily { name: "optimizer", description: "how gradients move weights", cards: OptimizerConfig::CARDS },
    VariantFamily { name: "schedule", description: "how the learning rate goes", cards: ScheduleConfig::CARDS },
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
