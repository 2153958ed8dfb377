//! Where a variant stands in a small model: a place for each family, so that a variant on a list is tried unasked.

use crate::{strategies::VOCAB, test_case::TestCase};
use kiln::variants::FAMILIES;
use kiln_models::{ModelConfig, Visibility};
use kiln_spec::{Card, Causality, VariantFamily};

/// Width of the models.
const HIDDEN: usize = 16;

/// A model for each family of parts: `$` is the variant.
const MODEL_TEMPLATES: &[(&str, &str)] = &[
    ("part", "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [$] }] }]"),
    ("source", "blocks = [{ sublayers = [{ parts = [{ attention = { source = $ } }] }, { parts = ['gated_mlp'] }] }]"),
    ("projection", "blocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = $ } }] }] }]"),
    ("expert", "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [{ experts = { expert = $ } }] }] }]"),
    ("position", "position = $\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]"),
    (
        "pattern",
        "blocks = [{ sublayers = [{ parts = [{ attention = { pattern = $ } }] }, { parts = ['gated_mlp'] }] }]",
    ),
    ("score", "blocks = [{ sublayers = [{ parts = [{ attention = { score = $ } }] }, { parts = ['gated_mlp'] }] }]"),
    // The head has weights of its own: a norm's bias would pull tied embeddings together.
    (
        "norm",
        "norm = $\nhead = { language = { tied = false } }\nblocks = [{ sublayers = [{ junction = { pre = { norm = $ } }, \
         parts = ['attention'] }, { junction = { pre = { norm = $ } }, parts = ['gated_mlp'] }] }]",
    ),
    (
        "junction",
        "blocks = [{ sublayers = [{ junction = $, parts = ['attention'] }, { junction = $, parts = ['gated_mlp'] }] }]",
    ),
    (
        "depth",
        "blocks = [{ sublayers = [{ parts = ['attention'] }] }, { depth = $, sublayers = [{ parts = ['attention'] }, \
         { parts = ['gated_mlp'] }] }]",
    ),
    ("head", "head = $\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]"),
];

/// Families that are no part of a model, and why.
pub const FAMILIES_TESTED_ELSEWHERE: &[(&str, &str)] = &[
    ("adapter", "no part, but beside parts: judged with its own laws"),
    ("objective", "what is trained for: judged where training is"),
    ("optimizer", "how weights move: judged where training is"),
    ("schedule", "a formula: judged against its reference"),
];

/// Every variant of every family that has a place, with its card.
///
/// # Panics
/// If a card's example is not what the family's key may hold.
pub fn variant_cases() -> Vec<(&'static Card, TestCase)> {
    let placed = |(family, place): &(&str, &str)| {
        let cards = FAMILIES.iter().find(|known| known.name == *family).map_or(&[][..], |family| family.cards);
        let place = (*place).to_string();
        let family = (*family).to_string();
        cards.iter().map(move |card| (card, variant_case(&family, card, &place)))
    };
    MODEL_TEMPLATES.iter().flat_map(placed).collect()
}

fn variant_case(family: &str, card: &Card, place: &str) -> TestCase {
    let name = format!("{family}.{}", card.name);
    let text = format!("vocab = {VOCAB}\nhidden = {HIDDEN}\n{}", place.replace('$', &card.example_toml()));
    let read = kiln_spec::config::parse(&text, None);
    let mut config: ModelConfig = read.unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    if card.causality == Causality::BidirectionalOnly {
        config.visibility = Visibility::Bidirectional;
    }
    config.resolve();
    TestCase::new(name, config)
}

/// Families that have neither a place nor a reason to have none, and places of no family.
pub fn unmatched_families() -> Vec<&'static str> {
    let known: Vec<&str> = MODEL_TEMPLATES.iter().chain(FAMILIES_TESTED_ELSEWHERE).map(|(family, _)| *family).collect();
    let listed: Vec<&str> = FAMILIES.iter().map(|family: &VariantFamily| family.name).collect();
    let missing = listed.iter().filter(|family| !known.contains(family));
    missing.chain(known.iter().filter(|family| !listed.contains(family))).copied().collect()
}
