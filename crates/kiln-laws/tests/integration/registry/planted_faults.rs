//! Tests of the laws: each law fails on a model with a planted fault.

use crate::registry::LAWS;
use burn::tensor::Tensor;
use kiln_laws::{
    test_case::{FaultFn, ParseFn, TestCase},
    variant_cases::variant_cases,
};
use kiln_nn::Context;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fault to plant.
enum PlantedFault {
    /// In the forward pass.
    Forward(FaultFn),
    /// In the parser of configurations.
    Parse(ParseFn),
}

/// Faults, each with the law that must detect it.
const FAULTS: [(&str, PlantedFault); 12] = [
    ("shape", PlantedFault::Forward(|hidden, _| hidden.clone().narrow(2, 1, hidden.dims()[2] - 1))),
    ("shape", PlantedFault::Forward(|hidden, _| hidden.log())),
    ("round trip", PlantedFault::Parse(drop_blocks)),
    ("deterministic", PlantedFault::Forward(nondeterministic)),
    ("causal", PlantedFault::Forward(leak_next_token)),
    ("chunked", PlantedFault::Forward(|hidden, _| hidden.clone() * (1.0 + 0.01 * hidden.dims()[1] as f64))),
    ("packed", PlantedFault::Forward(|hidden, _| hidden.clone() + hidden.cumsum(1))),
    ("padded", PlantedFault::Forward(|hidden, _| hidden.clone() + hidden.mean_dim(1))),
    // One step in the last place of some values, by the number of tokens in the call.
    ("exact", PlantedFault::Forward(|hidden, _| hidden.clone() * (1.0 + 1e-7 * (hidden.dims()[1] % 7) as f64))),
    ("gradients", PlantedFault::Forward(detach_when_packed)),
    // √0 is a number, its slope is none.
    ("finite", PlantedFault::Forward(|hidden, _| hidden.clone() + (hidden * 0.0).square().sqrt())),
    ("learns", PlantedFault::Forward(|hidden, _| hidden * 0.0)),
];

fn drop_blocks(text: &str) -> Result<kiln_models::ModelConfig, kiln_spec::config::ConfigError> {
    let read: kiln_models::ModelConfig = kiln_spec::config::parse(text, None)?;
    Ok(kiln_models::ModelConfig { blocks: Default::default(), ..read })
}

/// Gives other values in each call.
fn nondeterministic(hidden: Tensor<3>, _: &mut Context) -> Tensor<3> {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    hidden * (1.0 + 1e-3 * f64::from(TIMES.fetch_add(1, Ordering::Relaxed)))
}

/// Adds a thousandth of the next token to each token.
fn leak_next_token(hidden: Tensor<3>, _: &mut Context) -> Tensor<3> {
    let [_, t, _] = hidden.dims();
    let next = hidden.clone().narrow(1, 1, t - 1) * 1e-3;
    Tensor::cat(vec![hidden.clone().narrow(1, 0, t - 1) + next, hidden.narrow(1, t - 1, 1)], 1)
}

/// Detaches the hidden states of rows with several documents or with padding.
fn detach_when_packed(hidden: Tensor<3>, cx: &mut Context) -> Tensor<3> {
    let alone =
        cx.stream.tokens.layout().is_some_and(|layout| layout.marks().iter().all(|m| m.valid && m.document == 0));
    if alone { hidden } else { hidden.clone().detach() + hidden * 0.0 }
}

fn sound_case() -> TestCase {
    variant_cases().into_iter().find(|(card, _)| card.name == "rms").expect("a norm").1
}

#[test]
fn each_law_detects_its_planted_fault() {
    for (name, planted) in FAULTS {
        let law = LAWS.iter().find(|law| law.name == name).expect("a law");
        assert_eq!(law.check(&sound_case()), Ok(()), "{name}");
        let faulty = match planted {
            PlantedFault::Forward(fault) => TestCase { fault: Some(fault), ..sound_case() },
            PlantedFault::Parse(read) => TestCase { parse: read, ..sound_case() },
        };
        let breach = law.check(&faulty).expect_err(name);
        assert!(!breach.contains("panicked"), "{name}: {breach}");
        println!("{name}: {breach}");
    }
}

#[test]
fn every_law_has_a_planted_fault() {
    for law in &LAWS {
        assert!(FAULTS.iter().any(|(name, _)| *name == law.name), "{}", law.name);
    }
}

#[test]
fn a_panic_is_a_violation() {
    let breach = LAWS[0].check(&TestCase { fault: Some(|_, _| panic!("out of turns")), ..sound_case() });
    assert_eq!(breach, Err("it panicked: out of turns".into()));
}
