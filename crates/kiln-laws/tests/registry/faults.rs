//! The laws themselves are tried: each is seen to fail on a model that keeps all of them but for a planted fault.

use crate::LAWS;
use burn::tensor::Tensor;
use kiln_laws::{
    places::subjects,
    subject::{Fault, Read, Subject},
};
use kiln_nn::Cx;
use std::sync::atomic::{AtomicU32, Ordering};

/// What goes wrong.
enum Planted {
    /// While it runs.
    Run(Fault),
    /// When its text is read.
    Read(Read),
}

/// A law, and a model that breaks it.
const FAULTS: [(&str, Planted); 11] = [
    ("shape", Planted::Run(|hidden, _| hidden.clone().narrow(2, 1, hidden.dims()[2] - 1))),
    ("shape", Planted::Run(|hidden, _| hidden.log())),
    ("round trip", Planted::Read(forgetful)),
    ("deterministic", Planted::Run(restless)),
    ("causal", Planted::Run(foreseeing)),
    ("chunked", Planted::Run(|hidden, _| hidden.clone() * (1.0 + 0.01 * hidden.dims()[1] as f64))),
    ("packed", Planted::Run(|hidden, _| hidden.clone() + hidden.cumsum(1))),
    ("padded", Planted::Run(|hidden, _| hidden.clone() + hidden.mean_dim(1))),
    ("gradients", Planted::Run(deaf_in_company)),
    // √0 is a number, its slope is none.
    ("finite", Planted::Run(|hidden, _| hidden.clone() + (hidden * 0.0).square().sqrt())),
    ("learns", Planted::Run(|hidden, _| hidden * 0.0)),
];

fn forgetful(text: &str) -> Result<kiln_models::ModelConfig, kiln_spec::config::ConfigError> {
    let read: kiln_models::ModelConfig = kiln_spec::config::parse(text, None)?;
    Ok(kiln_models::ModelConfig { blocks: Default::default(), ..read })
}

/// Something else each time.
fn restless(hidden: Tensor<3>, _: &mut Cx) -> Tensor<3> {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    hidden * (1.0 + 1e-3 * f64::from(TIMES.fetch_add(1, Ordering::Relaxed)))
}

/// Every place gets a little of the next.
fn foreseeing(hidden: Tensor<3>, _: &mut Cx) -> Tensor<3> {
    let [_, t, _] = hidden.dims();
    let next = hidden.clone().narrow(1, 1, t - 1) * 1e-3;
    Tensor::cat(vec![hidden.clone().narrow(1, 0, t - 1) + next, hidden.narrow(1, t - 1, 1)], 1)
}

/// Rows with more than one document, or with padding, give no gradients.
fn deaf_in_company(hidden: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
    let alone = cx.stream.now.host().is_some_and(|layout| layout.marks().iter().all(|m| m.live && m.document == 0));
    if alone { hidden } else { hidden.clone().detach() + hidden * 0.0 }
}

fn sound() -> Subject {
    subjects().into_iter().find(|(card, _)| card.name == "rms").expect("a norm").1
}

#[test]
fn a_planted_fault_is_seen() {
    for (name, planted) in FAULTS {
        let law = LAWS.iter().find(|law| law.name == name).expect("a law");
        assert_eq!(law.judge(&sound()), Ok(()), "{name}");
        let faulty = match planted {
            Planted::Run(fault) => Subject { fault: Some(fault), ..sound() },
            Planted::Read(read) => Subject { read, ..sound() },
        };
        let breach = law.judge(&faulty).expect_err(name);
        assert!(!breach.contains("panicked"), "{name}: {breach}");
        println!("{name}: {breach}");
    }
}

#[test]
fn every_law_has_its_fault() {
    for law in &LAWS {
        assert!(FAULTS.iter().any(|(name, _)| *name == law.name), "{}", law.name);
    }
}

#[test]
fn a_panic_is_a_breach() {
    let breach = LAWS[0].judge(&Subject { fault: Some(|_, _| panic!("out of turns")), ..sound() });
    assert_eq!(breach, Err("it panicked: out of turns".into()));
}
