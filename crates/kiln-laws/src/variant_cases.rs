//! A small model for each listed variant.
//!
//! A family has a template, so that a variant that is added to a list is tested without further registration.

use crate::{strategies::VOCAB, test_case::TestCase};
use kiln::variants::FAMILIES;
use kiln_models::{ModelConfig, Visibility};
use kiln_spec::{Card, Causality, VariantFamily};

/// Hidden size of the models.
const HIDDEN: usize = 16;

/// A model for each family of a model's components; `$` is replaced by the variant.
const MODEL_TEMPLATES: &[(&str, &str)] = &[
    ("part", "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [$] }] }]"),
    (
        "source",
        "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [{ attention = { source = $ } }] }, \
         { parts = ['gated_mlp'] }] }]",
    ),
    ("projection", "blocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = $ } }] }] }]"),
    ("expert", "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [{ experts = { expert = $ } }] }] }]"),
    ("position", "position = $\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]"),
    (
        "pattern",
        "blocks = [{ sublayers = [{ parts = [{ attention = { pattern = $ } }] }, { parts = ['gated_mlp'] }] }]",
    ),
    ("score", "blocks = [{ sublayers = [{ parts = [{ attention = { score = $ } }] }, { parts = ['gated_mlp'] }] }]"),
    // The head is not tied: with a tied one, a norm's bias would move all embeddings in one direction.
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
        "residual_streams",
        "residual_streams = $\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]",
    ),
    (
        "depth",
        "blocks = [{ sublayers = [{ parts = ['attention'] }] }, { depth = $, sublayers = [{ parts = ['attention'] }, \
         { parts = ['gated_mlp'] }] }]",
    ),
    ("head", "head = $\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]"),
];

/// Families that are not components of a model, with the tests that they have instead.
pub const FAMILIES_TESTED_ELSEWHERE: &[(&str, &str)] = &[
    ("adapter", "attached to a model: tests of `peft`"),
    ("objective", "a batch and a loss: tests of `training` and `laws::objectives`"),
    ("optimizer", "an update of weights: tests of `training`"),
    ("schedule", "a formula: unit tests of `kiln-train`"),
];

/// The model of every variant of every family with a template, with the variant's card.
///
/// # Panics
/// If the example on a card is not a valid value of the family's key.
pub fn variant_cases() -> Vec<(&'static Card, TestCase)> {
    MODEL_TEMPLATES.iter().flat_map(|(family, template)| family_cases(family, template)).collect()
}

/// The models of one family.
fn family_cases(family: &'static str, template: &'static str) -> impl Iterator<Item = (&'static Card, TestCase)> {
    let cards = FAMILIES.iter().find(|known| known.name == family).map_or(&[][..], |family| family.cards);
    cards.iter().map(move |card| (card, variant_case(family, card, template)))
}

/// The model of one variant, resolved. A variant that is bidirectional only makes the model bidirectional.
fn variant_case(family: &str, card: &Card, template: &str) -> TestCase {
    let name = format!("{family}.{}", card.name);
    let text = format!("vocab = {VOCAB}\nhidden = {HIDDEN}\n{}", template.replace('$', &card.example_toml()));
    let parsed = kiln_spec::config::parse(&text, None);
    let mut config: ModelConfig = parsed.unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    if card.causality == Causality::BidirectionalOnly {
        config.visibility = Visibility::Bidirectional;
    }
    config.resolve();
    TestCase::new(name, config)
}

/// Families without a template or a mention in [`FAMILIES_TESTED_ELSEWHERE`], and templates of families that do not
/// exist.
pub fn unmatched_families() -> Vec<&'static str> {
    let known: Vec<&str> = MODEL_TEMPLATES.iter().chain(FAMILIES_TESTED_ELSEWHERE).map(|(family, _)| *family).collect();
    let listed: Vec<&str> = FAMILIES.iter().map(|family: &VariantFamily| family.name).collect();
    let missing = listed.iter().filter(|family| !known.contains(family));
    missing.chain(known.iter().filter(|family| !listed.contains(family))).copied().collect()
}
