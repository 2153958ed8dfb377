//! An exemption holds for a variant at a key, not for a word.

use kiln::variants::FAMILIES;
use kiln_laws::variant_sites::{exemption, family_with_names, variant_sites};
use kiln_models::ModelConfig;
use kiln_spec::{Card, card::ALL_LAWS};
use std::collections::BTreeSet;

fn config(text: &str) -> ModelConfig {
    kiln_spec::config::parse(text, None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn a_word_that_equals_the_name_of_a_card_exempts_nothing() {
    let named = |name: &str| -> &Card {
        FAMILIES.iter().flat_map(|family| family.cards).find(|card| card.name == name).expect("a card")
    };
    assert!(named("embedding").exemption("learns").is_some() && named("cross").exemption("causal").is_some());
    // `embedding` is a head, and also a key of every model.
    let plain = ModelConfig::default();
    assert!(serde_json::to_string(&plain).unwrap().contains("\"embedding\""));
    assert_eq!(exemption(&plain, "learns"), None);
    let head = config("head = 'embedding'");
    assert_eq!(exemption(&head, "learns"), Some(("head".into(), named("embedding").exemption("learns").unwrap())));
    assert_eq!(exemption(&head, "causal"), None, "the card exempts from another law");
}

#[test]
fn an_exemption_names_the_path_of_its_variant() {
    let cross = "blocks = [{ sublayers = [{ parts = ['attention'] }, { parts = ['attention', { attention = { source = \
                 'cross' } }] }] }]";
    let (path, reason) = exemption(&config(cross), "causal").expect("an exemption from every law");
    assert_eq!(path, "blocks[0].sublayers[1].parts[1].attention.source");
    assert!(!reason.is_empty());
    assert_eq!(exemption(&config(cross), ALL_LAWS), Some((path, reason)));
}

#[test]
fn a_name_that_two_families_share_belongs_to_the_family_of_its_key() {
    let found = |text: &str| -> BTreeSet<_> {
        let sites = variant_sites(&config(text));
        sites.iter().filter(|site| site.card.name == "none").map(|site| (site.path.clone(), site.family.name)).collect()
    };
    let shared = FAMILIES.iter().filter(|family| family.cards.iter().any(|card| card.name == "none")).count();
    assert!(shared > 1, "the name `none` is in {shared} family");
    let blocks = "blocks = [{ sublayers = [{ parts = ['attention'] }] }]";
    let embedding = ("embedding.norm".to_string(), "norm");
    assert_eq!(found(blocks), BTreeSet::from([embedding.clone()]));
    let positions = found(&format!("position = 'none'\n{blocks}"));
    assert_eq!(positions, BTreeSet::from([embedding, ("position".into(), "position")]));
}

#[test]
fn families_have_different_names() {
    for family in FAMILIES {
        let found = family_with_names(family.cards.iter().map(|card| card.name)).expect("a family");
        assert_eq!(found.name, family.name, "two families with the same names");
    }
}
