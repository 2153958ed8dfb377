//! Every family of variants with its members' cards: what `kiln variants` lists and docs/variants.md shows.

use kiln_nn::{
    depth::Depth,
    head::Head,
    junction::Junction,
    norm::Norm,
    part::{
        Part,
        attention::{Projection, Source},
        experts::Expert,
    },
    position::Position,
};
use kiln_peft::AdapterConfig;
use kiln_spec::{Card, Family, Pattern};
use kiln_train::{ObjectiveConfig, optimiser::OptimiserConfig, schedule::ScheduleConfig};

/// All families: parts of models first, then what they are trained with.
pub const FAMILIES: &[Family] = &[
    Family { name: "part", about: "what works within a sublayer", cards: Part::CARDS },
    Family { name: "source", about: "where an attention's keys and values come from", cards: Source::CARDS },
    Family {
        name: "projection",
        about: "how an attention makes and merges queries, keys and values",
        cards: Projection::CARDS,
    },
    Family { name: "expert", about: "what each expert of a mixture is", cards: Expert::CARDS },
    Family { name: "position", about: "how order enters", cards: Position::CARDS },
    Family { name: "pattern", about: "who may look at whom, by geometry", cards: Pattern::CARDS },
    Family { name: "score", about: "how looks become weights", cards: kiln_kernels::attention::Score::CARDS },
    Family { name: "norm", about: "what normalises the residual stream", cards: Norm::CARDS },
    Family { name: "junction", about: "what joins a sublayer to the residual stream", cards: Junction::CARDS },
    Family { name: "depth", about: "for which tokens a block runs", cards: Depth::CARDS },
    Family { name: "head", about: "what hidden states are turned into", cards: Head::CARDS },
    Family {
        name: "adapter",
        about: "what stands beside linear maps and trains instead of them",
        cards: AdapterConfig::CARDS,
    },
    Family { name: "objective", about: "what is trained for", cards: ObjectiveConfig::CARDS },
    Family { name: "optimiser", about: "how gradients move weights", cards: OptimiserConfig::CARDS },
    Family { name: "schedule", about: "how the learning rate goes", cards: ScheduleConfig::CARDS },
];

/// The columns of a list of cards.
pub const COLUMNS: [&str; 6] = ["name", "paper", "causal", "state", "time", "refuses"];

/// A card as a row under [`COLUMNS`].
pub fn row(card: &Card) -> [&'static str; 6] {
    [card.name, card.paper, card.causality.word(), card.state, card.time, card.refuses]
}

/// The table of all families, as Markdown.
pub fn markdown() -> String {
    let cells = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let exempt = |card: &'static Card| {
        card.exempt.iter().map(move |(law, why)| format!("\n- `{}` need not keep “{law}”: {why}", card.name))
    };
    let table = |family: &Family| {
        let rows = family.cards.iter().map(|card| {
            let name = format!("`{}`", card.name);
            cells(&[&[name.as_str()], &row(card)[1..]].concat())
        });
        let exempt: String = family.cards.iter().flat_map(exempt).collect();
        let exempt = if exempt.is_empty() { exempt } else { format!("{exempt}\n") };
        let head = cells(&COLUMNS) + &cells(&["---"; 6]);
        format!("\n## {}\n\n{}.\n\n{head}{}{exempt}", family.name, capital(family.about), rows.collect::<String>())
    };
    FAMILIES.iter().map(table).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
