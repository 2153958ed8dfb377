//! The unified objective: a mixture of the others.

use super::{assert_distribution, assert_no_target_leak, batch, packed, story_beginnings, tokenizer};
use burn::tensor::Device;
use kiln_data::{Batch, PackedSequences, next_token_batch};
use kiln_infer::{PromptFormat, block_on};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_spec::{Direction, Random};
use kiln_train::{
    Models, Objective,
    objective::{LossKind, ModeShares, Unified},
};

const NONE: ModeShares =
    ModeShares { bidirectional: 0.0, left_to_right: 0.0, right_to_left: 0.0, sequence_to_sequence: 0.0 };

fn models() -> Models {
    let config = ModelConfig { vocab: tokenizer().vocab_size(), hidden: 8, ..ModelConfig::default() };
    Models::new(Model::init(&config, 0, &Device::flex()))
}

fn build_batch(objective: &Unified, packed: &PackedSequences, step: u64) -> Batch {
    block_on(objective.batch(packed, &models(), Random::new(5, "objective", step, 0))).unwrap()
}

#[test]
fn a_single_mode_equals_its_objective() {
    let packed = packed(0, 10);
    let alone = |shares| build_batch(&Unified { shares, mode_tokens: false, ..Unified::default() }, &packed, 3);
    let defaults = Unified::default();
    assert_eq!(alone(ModeShares { left_to_right: 1.0, ..NONE }), next_token_batch(&packed, Direction::Causal).unwrap());
    assert_eq!(
        alone(ModeShares { right_to_left: 1.0, ..NONE }),
        next_token_batch(&packed, Direction::Reversed).unwrap()
    );
    assert_eq!(alone(ModeShares { bidirectional: 1.0, ..NONE }), batch(&defaults.masked, &packed, 3));
    assert_eq!(alone(ModeShares { sequence_to_sequence: 1.0, ..NONE }), batch(&defaults.prefix, &packed, 3));
}

/// The ids of the four modes, in the order of the shares.
fn mode_token_ids() -> [u32; 4] {
    let s = tokenizer().special_tokens();
    [s.bidirectional, s.left_to_right, s.right_to_left, s.sequence_to_sequence]
}

#[test]
fn modes_occur_at_their_shares() {
    let packed = packed(0, 3000);
    for shares in
        [ModeShares::default(), ModeShares { bidirectional: 0.0, left_to_right: 3.0, ..ModeShares::default() }]
    {
        let values = [shares.bidirectional, shares.left_to_right, shares.right_to_left, shares.sequence_to_sequence];
        let batch = build_batch(&Unified { shares, ..Unified::default() }, &packed, 0);
        let first: Vec<u32> = batch.inputs.chunks(packed.sequence_length).map(|row| row[0] as u32).collect();
        let count = |mode: &u32| first.iter().filter(|id| *id == mode).count() as u64;
        let counts: Vec<u64> = mode_token_ids().iter().map(count).collect();
        assert_eq!(counts.iter().sum::<u64>(), 3000, "a document without the token of its mode");
        let (counts, expected): (Vec<u64>, Vec<f64>) = counts
            .into_iter()
            .zip(values.map(|value| 3000.0 * value / values.iter().sum::<f64>()))
            .filter(|(count, expected)| *count > 0 || *expected > 0.0)
            .unzip();
        assert_distribution(&counts, &expected);
    }
}

#[test]
fn the_mode_token_changes_the_first_input_and_leaks_no_target() {
    let packed = story_beginnings(0, 80);
    let plain = Unified { mode_tokens: false, ..Unified::default() };
    let (with, without) = (build_batch(&Unified::default(), &packed, 1), build_batch(&plain, &packed, 1));
    let first = |at: usize| at.is_multiple_of(packed.sequence_length);
    assert!((0..with.inputs.len()).all(|at| first(at) || with.inputs[at] == without.inputs[at]));
    assert_eq!((&with.targets, &with.weights), (&without.targets, &without.weights));
    let reversed = |row: usize| with.inputs[row * packed.sequence_length] as u32 == mode_token_ids()[2];
    let blanks = |row: usize| with.inputs[row * packed.sequence_length] as u32 == mode_token_ids()[0];
    assert!((0..80).any(reversed) && (0..80).any(blanks));
    for row in 0..80 {
        let marks = with.layout.row(row);
        let length = packed.rows[row][0].tokens.len();
        let sees = |i: usize| kiln_spec::Pattern::default().is_visible(&marks[i], &marks[0]);
        assert!((0..length).all(sees), "row {row}: the mode is not seen by all");
        let weight: f32 = with.weights[row * packed.sequence_length..][..length].iter().sum();
        if reversed(row) {
            assert_eq!(weight as usize, length - 1);
        }
        if !blanks(row) {
            assert_no_target_leak(&with.select_rows(row..row + 1), |_| if reversed(row) { -1 } else { 1 });
        }
    }
}

#[test]
fn a_unified_model_generates_and_infills() {
    let (s, unified) = (tokenizer().special_tokens(), Unified::default());
    let usage = |unified: &Unified, visibility| {
        let config = ModelConfig { visibility, ..ModelConfig::default() };
        unified.generation_mode(&config, s)
    };
    let opening = |visibility, first| Some(PromptFormat { visibility, first_token: first });
    let found = usage(&unified, Visibility::Causal);
    assert_eq!(found.generates, opening(Visibility::Causal, s.left_to_right));
    assert_eq!(found.infills, opening(Visibility::Bidirectional, s.bidirectional));
    assert_eq!(usage(&unified, Visibility::Prefix).generates, opening(Visibility::Prefix, s.sequence_to_sequence));
    let plain = Unified { mode_tokens: false, shares: ModeShares { left_to_right: 1.0, ..NONE }, ..unified.clone() };
    let found = usage(&plain, Visibility::Causal);
    assert_eq!((found.generates, found.infills), (opening(Visibility::Causal, s.bos), None));
    assert_eq!((unified.loss_kind(), plain.loss_kind()), (LossKind::PseudoLikelihood, LossKind::Likelihood));
    assert_eq!((unified.directions().len(), plain.directions()), (4, vec![Direction::Causal]));
    assert_eq!(unified.components().len(), 4);
}
