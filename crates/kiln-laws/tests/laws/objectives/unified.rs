//! The unified objective mixes the others, and is each of them alone.

use super::{batch, beginnings, fits, nothing_is_given_away, packed, tokenizer};
use burn::tensor::Device;
use kiln_data::{Batch, Packed, next_token};
use kiln_infer::{Opening, block_on};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_spec::{Direction, Random};
use kiln_train::{
    Models, Objective,
    objective::{Measure, Shares, Unified},
};

const NONE: Shares = Shares { bidirectional: 0.0, left_to_right: 0.0, right_to_left: 0.0, sequence_to_sequence: 0.0 };

fn models() -> Models {
    let config = ModelConfig { vocab: tokenizer().vocab(), hidden: 8, ..ModelConfig::default() };
    Models { policy: Model::init(&config, 0, &Device::flex()) }
}

fn made(objective: &Unified, packed: &Packed, step: u64) -> Batch {
    block_on(objective.batch(packed, &models(), Random::new(5, "objective", step, 0))).unwrap()
}

#[test]
fn one_mode_alone_is_the_objective_that_it_is() {
    let packed = packed(0, 10);
    let alone = |shares| made(&Unified { shares, mode_tokens: false, ..Unified::default() }, &packed, 3);
    let defaults = Unified::default();
    assert_eq!(alone(Shares { left_to_right: 1.0, ..NONE }), next_token(&packed, Direction::Causal).unwrap());
    assert_eq!(alone(Shares { right_to_left: 1.0, ..NONE }), next_token(&packed, Direction::Reversed).unwrap());
    assert_eq!(alone(Shares { bidirectional: 1.0, ..NONE }), batch(&defaults.masked, &packed, 3));
    assert_eq!(alone(Shares { sequence_to_sequence: 1.0, ..NONE }), batch(&defaults.prefix, &packed, 3));
}

/// The ids of the four modes, in the order of the shares.
fn modes() -> [u32; 4] {
    let s = tokenizer().specials();
    [s.bidirectional, s.left_to_right, s.right_to_left, s.sequence_to_sequence]
}

#[test]
fn modes_come_in_their_shares() {
    let packed = packed(0, 3000);
    for shares in [Shares::default(), Shares { bidirectional: 0.0, left_to_right: 3.0, ..Shares::default() }] {
        let values = [shares.bidirectional, shares.left_to_right, shares.right_to_left, shares.sequence_to_sequence];
        let batch = made(&Unified { shares, ..Unified::default() }, &packed, 0);
        let first: Vec<u32> = batch.inputs.chunks(packed.width).map(|row| row[0] as u32).collect();
        let count = |mode: &u32| first.iter().filter(|id| *id == mode).count() as u64;
        let counts: Vec<u64> = modes().iter().map(count).collect();
        assert_eq!(counts.iter().sum::<u64>(), 3000, "a document without the token of its mode");
        let (counts, expected): (Vec<u64>, Vec<f64>) = counts
            .into_iter()
            .zip(values.map(|value| 3000.0 * value / values.iter().sum::<f64>()))
            .filter(|(count, expected)| *count > 0 || *expected > 0.0)
            .unzip();
        fits(&counts, &expected);
    }
}

#[test]
fn the_token_of_the_mode_changes_the_first_input_and_gives_nothing_away() {
    let packed = beginnings(0, 80);
    let plain = Unified { mode_tokens: false, ..Unified::default() };
    let (with, without) = (made(&Unified::default(), &packed, 1), made(&plain, &packed, 1));
    let first = |at: usize| at.is_multiple_of(packed.width);
    assert!((0..with.inputs.len()).all(|at| first(at) || with.inputs[at] == without.inputs[at]));
    assert_eq!((&with.targets, &with.weights), (&without.targets, &without.weights));
    let reversed = |row: usize| with.inputs[row * packed.width] as u32 == modes()[2];
    let blanks = |row: usize| with.inputs[row * packed.width] as u32 == modes()[0];
    assert!((0..80).any(reversed) && (0..80).any(blanks));
    for row in 0..80 {
        let marks = with.layout.row(row);
        let length = packed.rows[row][0].tokens.len();
        let sees = |i: usize| kiln_spec::Pattern::default().sees(&marks[i], &marks[0]);
        assert!((0..length).all(sees), "row {row}: the mode is not seen by all");
        let weight: f32 = with.weights[row * packed.width..][..length].iter().sum();
        if reversed(row) {
            assert_eq!(weight as usize, length - 1);
        }
        if !blanks(row) {
            nothing_is_given_away(&with.select(row..row + 1), |_| if reversed(row) { -1 } else { 1 });
        }
    }
}

#[test]
fn a_model_of_all_modes_writes_and_fills() {
    let (s, unified) = (tokenizer().specials(), Unified::default());
    let usage = |unified: &Unified, visibility| {
        let config = ModelConfig { visibility, ..ModelConfig::default() };
        unified.usage(&config, s)
    };
    let opening = |visibility, first| Some(Opening { visibility, first });
    let found = usage(&unified, Visibility::Causal);
    assert_eq!(found.writes, opening(Visibility::Causal, s.left_to_right));
    assert_eq!(found.fills, opening(Visibility::Bidirectional, s.bidirectional));
    assert_eq!(usage(&unified, Visibility::Prefix).writes, opening(Visibility::Prefix, s.sequence_to_sequence));
    let plain = Unified { mode_tokens: false, shares: Shares { left_to_right: 1.0, ..NONE }, ..unified.clone() };
    let found = usage(&plain, Visibility::Causal);
    assert_eq!((found.writes, found.fills), (opening(Visibility::Causal, s.bos), None));
    assert_eq!((unified.measure(), plain.measure()), (Measure::Pseudo, Measure::Documents));
    assert_eq!((unified.directions().len(), plain.directions()), (4, vec![Direction::Causal]));
    assert_eq!(unified.parts().len(), 4);
}
