//! Pairs of variants in one model. Interactions of two variants are where combinations break, so the random models that
//! are run hold every pair that is legal in one model: a greedy cover of random draws.

use super::random_models::{is_runnable, legal_config};
use kiln::variants::FAMILIES;
use kiln_laws::{
    random_config,
    variant_cases::FAMILIES_TESTED_ELSEWHERE,
    variant_sites::{VariantName, variant_sites},
};
use kiln_models::ModelConfig;
use kiln_spec::card::ALL_LAWS;
use std::collections::BTreeSet;

/// Draws that look for a legal model with a given pair.
const MAX_DRAWS: u64 = 40_000;

/// Two variants, in the order of their names.
pub type Pair = [VariantName; 2];

/// Pairs that no legal model holds, and why. Every one is tried: see `pairs_that_are_listed_as_illegal_are_refused`.
const ILLEGAL_PAIRS: &[(Pair, &str)] = &[(
    [("position", "learned"), ("position", "sinusoidal")],
    "both are added to the embeddings: only the stack's positions are, and a stack has one encoding",
)];

/// Families of which a model has one member: its key occurs once.
const SINGLE_FAMILIES: [&str; 2] = ["head", "residual_streams"];

/// Every variant of a part of a model that some law holds for.
fn variants() -> Vec<VariantName> {
    let is_elsewhere = |family: &str| FAMILIES_TESTED_ELSEWHERE.iter().any(|(name, _)| *name == family);
    let families = FAMILIES.iter().filter(|family| !is_elsewhere(family.name));
    let of_family = |family: &'static kiln_spec::VariantFamily| {
        let cards = family.cards.iter().filter(|card| card.exemption(ALL_LAWS).is_none());
        cards.map(|card| (family.name, card.name))
    };
    families.flat_map(of_family).collect()
}

fn pairs_of(mut variants: Vec<VariantName>) -> BTreeSet<Pair> {
    variants.sort_unstable();
    variants.dedup();
    let with_later = |(i, a): (usize, &VariantName)| variants[i + 1..].iter().map(|b| [*a, *b]).collect::<Vec<_>>();
    variants.iter().enumerate().flat_map(with_later).collect()
}

/// Pairs of variants in a model.
pub fn pairs_in(config: &ModelConfig) -> BTreeSet<Pair> {
    pairs_of(variant_sites(config).iter().map(|site| site.variant()).collect())
}

/// Pairs that must occur in the models that are run.
pub fn required_pairs() -> BTreeSet<Pair> {
    let is_illegal = |pair: &Pair| ILLEGAL_PAIRS.iter().any(|(illegal, _)| illegal == pair);
    let is_single = |[a, b]: &Pair| a.0 == b.0 && SINGLE_FAMILIES.contains(&a.0);
    pairs_of(variants()).into_iter().filter(|pair| !is_illegal(pair) && !is_single(pair)).collect()
}

/// A seed of its own for each draw of a pair.
fn seed(pair: &Pair, draw: u64) -> u64 {
    let text = pair.iter().flat_map(|(family, name)| [family.as_bytes(), name.as_bytes()]).flatten();
    text.fold(draw, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Draws until a runnable model holds the pair.
fn find_model(pair: &Pair) -> Option<ModelConfig> {
    let draws = (0..MAX_DRAWS).filter_map(|draw| legal_config(seed(pair, draw), pair).ok()?.ok());
    let mut runnable = draws.filter(is_runnable);
    runnable.find(|config| pairs_in(config).contains(pair))
}

/// Selects models that together hold the required pairs, from `pool` and from models that are drawn for the pairs
/// missing there: always the model with the most new pairs, then others of the pool until there are `min_models`.
/// Returns the models, and the pairs for which no model was drawn.
pub fn select_cover(mut pool: Vec<ModelConfig>, min_models: usize) -> (Vec<ModelConfig>, BTreeSet<Pair>) {
    let required = required_pairs();
    let mut held: Vec<BTreeSet<Pair>> = pool.iter().map(|config| &pairs_in(config) & &required).collect();
    let mut missing = held.iter().fold(required.clone(), |missing, pairs| &missing - pairs);
    let mut not_drawn = BTreeSet::new();
    while let Some(pair) = missing.pop_first() {
        let Some(config) = find_model(&pair) else {
            not_drawn.insert(pair);
            continue;
        };
        let pairs = &pairs_in(&config) & &required;
        missing = &missing - &pairs;
        pool.push(config);
        held.push(pairs);
    }
    let mut open = held.iter().fold(BTreeSet::new(), |all, pairs| &all | pairs);
    let mut selected = Vec::new();
    while !pool.is_empty() && (!open.is_empty() || selected.len() < min_models) {
        let count_new = |i: &usize| held[*i].intersection(&open).count();
        let best = (0..pool.len()).max_by_key(|i| (count_new(i), std::cmp::Reverse(*i))).unwrap_or(0);
        open = &open - &held.remove(best);
        selected.push(pool.remove(best));
    }
    (selected, not_drawn)
}

#[test]
fn pairs_that_are_listed_as_illegal_are_refused() {
    for (pair, reason) in ILLEGAL_PAIRS {
        assert!(!reason.is_empty());
        let mut refused = 0;
        for draw in 0..500 {
            let seed = seed(pair, draw);
            let Ok(drawn) = random_config::config(seed, pair) else { continue };
            if !pairs_in(&drawn).contains(pair) {
                continue;
            }
            let legal = legal_config(seed, pair).expect("a model or a refusal");
            assert!(legal.is_err(), "{pair:?} is legal:\n{}", kiln_spec::config::to_toml(&drawn));
            refused += 1;
        }
        assert!(refused > 0, "{pair:?} is not drawn");
    }
}
