//! Tests of the laws: each law fails on a model with a planted fault.

use crate::registry::LAWS;
use burn::tensor::Tensor;
use kiln_laws::{
    test_case::{FaultFn, ParseFn, StateFaultFn, TestCase},
    variant_cases::variant_cases,
};
use kiln_nn::{Context, State, context::state::testing};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fault to plant.
enum PlantedFault {
    /// In the forward pass.
    Forward(FaultFn),
    /// In the parser of configurations.
    Parse(ParseFn),
    /// In an operation on rows of decode state.
    Rows(StateFaultFn),
}

/// Faults, each with the law that must detect it.
const FAULTS: [(&str, PlantedFault); 20] = [
    ("shape", PlantedFault::Forward(|hidden, _| hidden.clone().narrow(2, 1, hidden.dims()[2] - 1))),
    ("shape", PlantedFault::Forward(|hidden, _| hidden.log())),
    ("round trip", PlantedFault::Parse(drop_blocks)),
    ("deterministic", PlantedFault::Forward(nondeterministic)),
    ("causal", PlantedFault::Forward(leak_next_token)),
    ("chunked", PlantedFault::Forward(|hidden, _| hidden.clone() * (1.0 + 0.01 * hidden.dims()[1] as f64))),
    // Positions stay with the place of a row, or with the tokens that were removed.
    ("selected", PlantedFault::Rows(keep_positions)),
    ("truncated", PlantedFault::Rows(keep_positions)),
    ("joined", PlantedFault::Rows(|_, after| shift_last_position(after))),
    ("forked", PlantedFault::Rows(|_, after| shift_last_position(after))),
    ("selected", PlantedFault::Forward(|hidden, _| hidden.clone() + hidden.cumsum(0) * 1e-2)),
    ("joined", PlantedFault::Forward(|hidden, _| hidden.clone() * (1.0 + 0.01 * hidden.dims()[0] as f64))),
    ("packed", PlantedFault::Forward(|hidden, _| hidden.clone() + hidden.cumsum(1))),
    ("padded", PlantedFault::Forward(|hidden, _| hidden.clone() + hidden.mean_dim(1))),
    // One step in the last place of some values, by the number of tokens in the call.
    ("exact", PlantedFault::Forward(|hidden, _| hidden.clone() * (1.0 + 1e-7 * (hidden.dims()[1] % 7) as f64))),
    // A product that splits its inputs by the number of rows, and a norm whose order of sums depends on the threads.
    (
        "exact",
        PlantedFault::Forward(|hidden, _| {
            add_split_sums(hidden.clone(), 1 + hidden.dims()[..2].iter().product::<usize>() % 3)
        }),
    ),
    ("exact", PlantedFault::Forward(|hidden, _| add_split_sums(hidden, rayon::current_num_threads()))),
    ("gradients", PlantedFault::Forward(detach_when_packed)),
    // √0 is a number, its slope is none.
    ("finite", PlantedFault::Forward(|hidden, _| hidden.clone() + (hidden * 0.0).square().sqrt())),
    ("learns", PlantedFault::Forward(|hidden, _| hidden * 0.0)),
];

/// Positions of the rows as they were before the operation.
fn keep_positions(before: &State, after: State) -> State {
    let positions = before.next_positions()[..after.num_rows()].to_vec();
    testing::with_positions(after, &positions)
}

/// The last row's position is one too high.
fn shift_last_position(after: State) -> State {
    let mut positions = after.next_positions().to_vec();
    positions.last_mut().into_iter().for_each(|last| *last += 1);
    testing::with_positions(after, &positions)
}

fn drop_blocks(text: &str) -> Result<kiln_models::ModelConfig, kiln_spec::config::ConfigError> {
    let read: kiln_models::ModelConfig = kiln_spec::config::parse(text, None)?;
    Ok(kiln_models::ModelConfig { blocks: Default::default(), ..read })
}

/// Adds the sum of each token's values, computed in so many parts: other parts round otherwise.
fn add_split_sums(hidden: Tensor<3>, parts: usize) -> Tensor<3> {
    let width = hidden.dims()[2].div_ceil(parts);
    let sums = hidden.clone().split(width, 2).into_iter().map(|part| part.sum_dim(2));
    let sum = sums.reduce(|sum, part| sum + part).expect("at least one part");
    hidden + sum
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
            PlantedFault::Rows(fault) => TestCase { state_fault: Some(fault), ..sound_case() },
        };
        let breach = law.check(&faulty).expect_err(name);
        assert!(!breach.contains("panicked"), "{name}: {breach}");
        println!("{name}: {breach}");
    }
}

/// Marks of cached keys that an operation leaves as they were: the law sees other results, or kernels other shapes.
#[test]
fn marks_that_are_not_changed_with_the_rows_are_detected() {
    for name in ["selected", "truncated"] {
        let law = LAWS.iter().find(|law| law.name == name).expect("a law");
        let fault: StateFaultFn = |before, after| testing::with_marks_of(after, before);
        let faulty = TestCase { state_fault: Some(fault), ..sound_case() };
        println!("{name}: {}", law.check(&faulty).expect_err(name));
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
