//! The laws over the registry: every variant on a list, in a small model at its place, keeps every law, or its card
//! says why it can't. A variant that is added to a list is judged unasked.

mod docs;
mod draws;
mod faults;
mod form;
mod gradients;
mod learning;
mod looks;

use kiln::variants::FAMILIES;
use kiln_laws::{
    places::{ELSEWHERE, misplaced, subjects},
    subject::Subject,
};
use kiln_spec::{Card, Causality, card::EVERY_LAW};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Whether a law is kept, else how far it is from that.
type Verdict = Result<(), String>;

/// What must hold of every model.
struct Law {
    name: &'static str,
    /// Whether it speaks of models that see no further than themselves.
    causal: bool,
    holds: fn(&Subject) -> Verdict,
}

/// The laws.
const LAWS: [Law; 10] = [
    Law { name: "shape", causal: false, holds: form::shape },
    Law { name: "round trip", causal: false, holds: form::round_trip },
    Law { name: "deterministic", causal: false, holds: form::deterministic },
    Law { name: "causal", causal: true, holds: looks::causal },
    Law { name: "chunked", causal: true, holds: looks::chunked },
    Law { name: "packed", causal: false, holds: looks::packed },
    Law { name: "padded", causal: false, holds: looks::padded },
    Law { name: "gradients", causal: false, holds: gradients::one_sum },
    Law { name: "finite", causal: false, holds: gradients::finite },
    Law { name: LEARNS, causal: true, holds: learning::learns },
];

/// The slowest of them.
const LEARNS: &str = "learns";

impl Law {
    /// Judges; a panic is a breach too.
    fn judge(&self, subject: &Subject) -> Verdict {
        let judged = catch_unwind(AssertUnwindSafe(|| (self.holds)(subject)));
        judged.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", said.unwrap_or("of something else")))
        })
    }

    /// Why a variant need not keep it.
    fn exemption(&self, card: &Card) -> Option<&'static str> {
        let sees_all = self.causal && card.causality == Causality::BidirectionalOnly;
        card.exemption(self.name).or(sees_all.then_some("it always sees everything"))
    }
}

/// Judges every variant by some laws, prints what ran, and fails with every breach.
fn run(laws: &[&Law]) {
    let (mut breaches, mut judged, mut exempt) = (Vec::new(), 0, 0);
    for (card, subject) in subjects() {
        let mut line = format!("{:<28}", subject.name);
        for law in laws {
            let verdict = match law.exemption(card) {
                Some(reason) => {
                    exempt += 1;
                    format!("({} not: {reason})", law.name)
                }
                None => {
                    judged += 1;
                    let verdict = law.judge(&subject);
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
fn every_variant_keeps_every_law() {
    run(&LAWS.iter().filter(|law| law.name != LEARNS).collect::<Vec<_>>());
}

#[test]
fn every_variant_learns() {
    run(&LAWS.iter().filter(|law| law.name == LEARNS).collect::<Vec<_>>());
}

#[test]
fn every_family_has_its_place() {
    assert_eq!(misplaced(), [""; 0], "families without a place in `places.rs`, or places of no family");
    assert!(ELSEWHERE.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn exemptions_name_laws_and_reasons() {
    let cards = FAMILIES.iter().flat_map(|family| family.cards);
    for (law, reason) in cards.flat_map(|card| card.exempt) {
        let known = *law == EVERY_LAW || LAWS.iter().any(|known| known.name == *law);
        assert!(known && !reason.is_empty(), "`{law}` is no law");
    }
}

/// Kinds that a source declares with cards: registries, and choices whose alternatives have them.
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
