//! `variants`: the parts that models are made of, from their cards.

use super::{output::Answer, table::table};
use kiln_nn::{Card, Causality};
use serde_json::json;

/// Every family and the cards of its variants.
fn families() -> Vec<(&'static str, &'static [Card])> {
    use kiln_nn::{depth::Depth, head::Head, junction::Junction, norm::Norm, part::Part, position::Position};
    vec![
        ("part", Part::CARDS),
        ("projection", kiln_nn::part::attention::Projection::CARDS),
        ("position", Position::CARDS),
        ("norm", Norm::CARDS),
        ("junction", Junction::CARDS),
        ("depth", Depth::CARDS),
        ("head", Head::CARDS),
    ]
}

/// Lists them.
pub fn run() -> Answer {
    let families = families();
    let cards = || families.iter().flat_map(|(family, cards)| cards.iter().map(move |card| (*family, card)));
    let variants: Vec<_> = cards()
        .map(|(family, card)| {
            json!({
                "family": family, "name": card.name, "paper": card.paper, "causal": causal(card),
                "state": card.state, "time": card.time, "refuses": card.refuses,
            })
        })
        .collect();
    let row = |(family, card): (&str, &Card)| {
        [family, card.name, card.paper, causal(card), card.state, card.time, card.refuses].map(String::from).to_vec()
    };
    let head = ["family", "name", "paper", "causal", "state", "time", "refuses"];
    Answer::new(json!({ "variants": variants }), table(&head, &cards().map(row).collect::<Vec<_>>(), &[]))
}

fn causal(card: &Card) -> &'static str {
    match card.causality {
        Causality::Any => "any",
        Causality::CausalOnly => "only",
        Causality::BidirectionalOnly => "never",
    }
}
