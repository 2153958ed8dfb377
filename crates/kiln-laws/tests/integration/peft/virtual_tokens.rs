//! Prompt tuning: virtual tokens before each document, whatever the rows, chunks and directions.

use burn::tensor::{Tensor, TensorData};
use kiln_laws::{device, max_abs_diff, parameters};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::{
    Context, State,
    adapter::PromptTuningConfig,
    position::{PositionConfig, RotaryEmbeddingConfig, RotaryScaling, rotary_scaling::DynamicScaling},
};
use kiln_peft::{AdapterConfig, attach, merge};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Tokens of one document.
const IDS: [i32; 7] = [3, 1, 4, 1, 5, 9, 2];

fn to_vec<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Hidden states of rows of documents, `[B, T, M]`.
fn hidden(model: &Model, rows: &[Vec<&[i32]>], width: usize, direction: Direction) -> Tensor<3> {
    let span = |ids: &&[i32]| DocumentSpan { length: ids.len(), start: 0, direction };
    let spans: Vec<Vec<DocumentSpan>> = rows.iter().map(|row| row.iter().map(span).collect()).collect();
    let mut cx = Context::new(&Layout::packed(&spans, width), &device());
    let ids = rows.iter().flat_map(|row| {
        let mut ids = row.concat();
        ids.resize(width, 0);
        ids
    });
    let ids = TensorData::new(ids.collect::<Vec<i32>>(), [rows.len(), width]);
    model.forward(Tensor::from_data(ids, &device()), &mut cx)
}

/// Logits of one document.
pub(super) fn logits(model: &Model) -> Vec<f64> {
    let hidden = hidden(model, &[vec![&IDS]], IDS.len(), model.config().visibility.direction(IDS.len()));
    to_vec(model.logits(hidden.squeeze_dim(0)))
}

/// A model whose positions follow the length of a document, its virtual tokens included: 4 tokens are the original context.
fn config(visibility: Visibility) -> ModelConfig {
    let scaling = DynamicScaling { factor: 2.0, original_max_position_embeddings: 4 };
    let rotary = RotaryEmbeddingConfig { scaling: RotaryScaling::Dynamic(scaling), ..RotaryEmbeddingConfig::default() };
    let position = PositionConfig::Rotary(rotary);
    let mut config = ModelConfig { vocab: 11, hidden: 16, visibility, position, ..ModelConfig::default() };
    config.resolve();
    config
}

/// A model with two virtual tokens, in f64 with random values.
fn tuned(visibility: Visibility) -> Model {
    let method = PromptTuningConfig { num_virtual_tokens: 2, ..PromptTuningConfig::default() };
    let model = Model::init(&config(visibility), 5, &device());
    parameters::perturbed(attach(&model, &AdapterConfig::PromptTuning(method), 3).unwrap())
}

/// A model whose embedding has the virtual tokens as rows 11 and 12, and their ids.
fn with_rows(tuned: &Model) -> (Model, Vec<i32>) {
    let larger = ModelConfig { vocab: 13, ..tuned.config().clone() };
    let mut values = parameters::values(&kiln_peft::detach(tuned));
    let prompt = to_vec(tuned.virtual_tokens().unwrap());
    let table = values.get_mut("embedding").unwrap();
    let rows: Vec<f64> = table.iter::<f64>().chain(prompt).collect();
    *table = TensorData::new(rows, [13, 16]);
    let model = parameters::to_f64(Model::init(&larger, 0, &device()));
    (parameters::with_values(model, &values), [vec![11, 12], IDS.to_vec()].concat())
}

#[test]
fn virtual_tokens_are_tokens_before_the_document() {
    for visibility in [Visibility::Causal, Visibility::Bidirectional] {
        let tuned = tuned(visibility);
        let (model, ids) = with_rows(&tuned);
        let direction = visibility.direction(ids.len());
        let wanted = to_vec(hidden(&model, &[vec![&ids]], ids.len(), direction).narrow(1, 2, IDS.len()));
        let found = to_vec(hidden(&tuned, &[vec![&IDS]], IDS.len(), direction));
        assert!(max_abs_diff(&found, &wanted) < 1e-12, "{visibility:?}");
        let plain = to_vec(hidden(&kiln_peft::detach(&tuned), &[vec![&IDS]], IDS.len(), direction));
        assert!(max_abs_diff(&found, &plain) > 1e-3, "a control");
    }
}

#[test]
fn every_document_of_a_row_has_them() {
    for direction in [Direction::Causal, Direction::Bidirectional, Direction::Prefix(2), Direction::Reversed] {
        let visibility =
            if direction == Direction::Bidirectional { Visibility::Bidirectional } else { Visibility::Causal };
        let tuned = tuned(visibility);
        let (a, b) = IDS.split_at(3);
        let alone = [a, b].map(|ids| to_vec(hidden(&tuned, &[vec![ids]], ids.len(), direction)));
        let packed = hidden(&tuned, &[vec![a, b], vec![b]], 9, direction);
        let piece = |row, start: usize, length| to_vec(packed.clone().narrow(0, row, 1).narrow(1, start, length));
        for (found, wanted) in [(piece(0, 0, 3), &alone[0]), (piece(0, 3, 4), &alone[1]), (piece(1, 0, 4), &alone[1])] {
            assert!(max_abs_diff(&found, wanted) < 1e-12, "{direction:?}: {:e}", max_abs_diff(&found, wanted));
        }
    }
}

#[test]
fn any_chunks_of_a_prompt_compute_the_same() {
    let tuned = tuned(Visibility::Causal);
    let whole = to_vec(hidden(&tuned, &[vec![&IDS]], IDS.len(), Direction::Causal));
    for chunk in [1, 3, 7] {
        let (mut state, mut found) = (State::new(1).with_declared_lengths(&[IDS.len()]), Vec::new());
        for ids in IDS.chunks(chunk) {
            let (hidden, next) = tuned.step(ids, &[ids.len()], Direction::Causal, state);
            (state, found) = (next, [found, to_vec(hidden)].concat());
        }
        assert!(max_abs_diff(&found, &whole) < 1e-12, "chunks of {chunk}");
        assert_eq!(state.next_positions(), [IDS.len() + 2]);
    }
}

#[test]
fn a_prefix_sees_the_same_in_one_call_and_with_a_state() {
    let tuned = tuned(Visibility::Prefix);
    let whole = to_vec(hidden(&tuned, &[vec![&IDS]], IDS.len(), Direction::Prefix(5)));
    let state = State::new(1).with_declared_lengths(&[IDS.len()]);
    let (first, state) = tuned.step(&IDS[..5], &[5], Direction::Prefix(5), state);
    let (second, state) = tuned.step(&IDS[5..], &[2], Direction::Causal, state);
    assert!(max_abs_diff(&[to_vec(first), to_vec(second)].concat(), &whole) < 1e-12);
    assert_eq!(state.next_positions(), [IDS.len() + 2]);
}

#[test]
fn rows_of_unequal_prompts_have_them_too() {
    let tuned = tuned(Visibility::Causal);
    let tokens = [&IDS[..], &[8, 6, 0, 0, 0, 0, 0]].concat();
    let state = State::new(2).with_declared_lengths(&[8, 3]);
    let (first, state) = tuned.step(&tokens, &[7, 2], Direction::Causal, state);
    let (second, _) = tuned.step(&[5, 7], &[1, 1], Direction::Causal, state);
    for (row, ids) in [[&IDS[..], &[5]].concat(), vec![8, 6, 7]].into_iter().enumerate() {
        let whole = hidden(&tuned, &[vec![&ids]], ids.len(), Direction::Causal);
        let steps = Tensor::cat(
            vec![first.clone().narrow(0, row, 1).narrow(1, 0, ids.len() - 1), second.clone().narrow(0, row, 1)],
            1,
        );
        assert!(max_abs_diff(&to_vec(steps), &to_vec(whole)) < 1e-12, "row {row}");
    }
}

#[test]
fn they_start_as_rows_of_the_vocabulary_and_cannot_be_merged() {
    let base = Model::init(&config(Visibility::Causal), 5, &device());
    let adapted = attach(&base, &AdapterConfig::PromptTuning(PromptTuningConfig::default()), 3).unwrap();
    let prompt = adapted.virtual_tokens().unwrap();
    assert_eq!((prompt.dims(), adapted.num_virtual_tokens()), ([20, 16], 20));
    let table = kiln_laws::values(&base)["embedding"].clone();
    let rows: Vec<Vec<f32>> = table.iter::<f32>().collect::<Vec<_>>().chunks(16).map(<[f32]>::to_vec).collect();
    let tokens: Vec<f32> = prompt.into_data().iter::<f32>().collect();
    assert!(tokens.chunks(16).all(|token| rows.iter().any(|row| row == token)));
    let said = merge(&adapted).expect_err("refused").to_string();
    assert!(said.contains("virtual tokens cannot be merged"), "{said}");
}
