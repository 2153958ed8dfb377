//! Laws over the registry: every listed variant, in a small model, satisfies every law, or its card exempts it with a
//! reason. A variant that is added to a list is tested without further registration.

mod docs;
mod exact;
mod exemptions;
mod gradients;
mod learning;
mod pair_coverage;
mod planted_faults;
pub(crate) mod random_models;
mod rows;
mod shape;
mod visibility;

use kiln::variants::FAMILIES;
use kiln_laws::{
    test_case::TestCase,
    variant_cases::{FAMILIES_TESTED_ELSEWHERE, unmatched_families, variant_cases},
};
use kiln_spec::{Card, Causality, card::ALL_LAWS};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Result of a law: how the model violates it, if it does.
type Verdict = Result<(), String>;

/// A property that every model must have.
struct ModelLaw {
    name: &'static str,
    /// Whether the law is about causal models: models that see everything need not satisfy it.
    causal_only: bool,
    check: fn(&TestCase) -> Verdict,
}

/// The laws, in the order in which they are checked.
const LAWS: [ModelLaw; 15] = [
    ModelLaw { name: "shape", causal_only: false, check: shape::shape },
    ModelLaw { name: "round trip", causal_only: false, check: shape::round_trip },
    ModelLaw { name: "deterministic", causal_only: false, check: shape::deterministic },
    ModelLaw { name: "causal", causal_only: true, check: visibility::causal },
    ModelLaw { name: "chunked", causal_only: true, check: visibility::chunked },
    ModelLaw { name: "selected", causal_only: true, check: rows::selected },
    ModelLaw { name: "forked", causal_only: true, check: rows::forked },
    ModelLaw { name: "truncated", causal_only: true, check: rows::truncated },
    ModelLaw { name: "joined", causal_only: true, check: rows::joined },
    ModelLaw { name: "packed", causal_only: false, check: visibility::packed },
    ModelLaw { name: "padded", causal_only: false, check: visibility::padded },
    ModelLaw { name: "exact", causal_only: false, check: exact::exact },
    ModelLaw { name: "gradients", causal_only: false, check: gradients::gradients_add_up },
    ModelLaw { name: "finite", causal_only: false, check: gradients::finite },
    ModelLaw { name: LEARNING_LAW, causal_only: true, check: learning::learns },
];

/// The slowest law, which has a test of its own and is not checked on random models.
const LEARNING_LAW: &str = "learns";

impl ModelLaw {
    /// Checks a model. A panic is a violation.
    fn check(&self, subject: &TestCase) -> Verdict {
        let judged = catch_unwind(AssertUnwindSafe(|| (self.check)(subject)));
        judged.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", said.unwrap_or("of something else")))
        })
    }

    /// Returns why a variant need not satisfy the law, if it need not.
    fn exemption(&self, card: &Card) -> Option<&'static str> {
        let sees_all = self.causal_only && card.causality == Causality::BidirectionalOnly;
        card.exemption(self.name).or(sees_all.then_some("it always sees everything"))
    }
}

/// Checks every variant against some laws, prints the results, and fails with the list of all violations.
fn run(laws: &[&ModelLaw]) {
    let (mut breaches, mut judged, mut exempt) = (Vec::new(), 0, 0);
    for (card, subject) in variant_cases() {
        let mut line = format!("{:<28}", subject.name);
        for law in laws {
            let verdict = match law.exemption(card) {
                Some(reason) => {
                    exempt += 1;
                    format!("({} not: {reason})", law.name)
                }
                None => {
                    judged += 1;
                    let verdict = law.check(&subject);
                    breaches.extend(verdict.as_ref().err().map(|why| format!("{}: {}: {why}", subject.name, law.name)));
                    if verdict.is_ok() { law.name.to_string() } else { format!("{} BROKEN", law.name) }
                }
            };
            line += &format!("  {verdict}");
        }
        println!("{line}");
    }
    println!("{judged} judged, {exempt} exempt");
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    assert!(judged > 0);
}

#[test]
fn every_variant_satisfies_every_law() {
    run(&LAWS.iter().filter(|law| law.name != LEARNING_LAW).collect::<Vec<_>>());
}

#[test]
fn every_variant_learns() {
    run(&LAWS.iter().filter(|law| law.name == LEARNING_LAW).collect::<Vec<_>>());
}

#[test]
fn every_family_has_a_template() {
    assert_eq!(unmatched_families(), [""; 0], "families without a place in `places.rs`, or places of no family");
    assert!(FAMILIES_TESTED_ELSEWHERE.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn exemptions_name_laws_and_reasons() {
    let cards = FAMILIES.iter().flat_map(|family| family.cards);
    for (law, reason) in cards.flat_map(|card| card.exemptions) {
        let known = *law == ALL_LAWS || LAWS.iter().any(|known| known.name == *law);
        assert!(known && !reason.is_empty(), "`{law}` is no law");
    }
}

/// Types that a source file declares with cards: registries (`variants!`), and choices whose alternatives have cards.
fn declared(source: &str) -> Vec<String> {
    let (mut kinds, mut choice) = (Vec::new(), "");
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        choice = line.strip_prefix("pub enum ").and_then(|rest| rest.strip_suffix(" {")).unwrap_or(choice);
        kinds.extend(line.split_once("Config: dyn ").and_then(|(kind, _)| kind.split_once(',')).map(|(kind, _)| kind));
        kinds.extend(
            Some(choice).filter(|_| line.starts_with('"') && line.contains(" => ") && line.contains(") with ")),
        );
    }
    kinds.dedup();
    kinds.into_iter().map(String::from).collect()
}

#[test]
fn every_registry_is_listed() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listing = fs::read_to_string(crates.join("kiln/src/variants.rs")).unwrap();
    let (mut open, mut found) = (vec![crates], Vec::new());
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.extend(declared(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    let unlisted: Vec<&String> = found.iter().filter(|kind| !listing.contains(&format!("{kind}::CARDS"))).collect();
    assert!(unlisted.is_empty(), "not in kiln/src/variants.rs: {unlisted:?}");
    assert_eq!(found.len(), FAMILIES.len(), "{found:?}");
}
