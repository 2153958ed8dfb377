//! Log-probabilities of whole sequences of a batch: sums over the positions of each, in a fixed order.

use super::{hidden_states, to_device};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::Batch;
use kiln_models::Model;
use kiln_nn::Context;

/// log p of each sequence of a batch, `[S]`, in nats: Σ weight · log p(target) over its positions, in the order of
/// [`Batch::sequences`].
///
/// The weights of a preference pair are 1 at the tokens of the answer and 0 at those of the prompt, so that this is
/// log p(answer | prompt).
pub fn sequence_log_probabilities(model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<1> {
    let hidden = hidden_states(model, batch, cx);
    let [b, t, m] = hidden.dims();
    let targets = to_device(model, batch, &batch.targets).reshape([b * t]);
    sum_by_sequence(model.cross_entropy(hidden.reshape([b * t, m]), targets), batch).neg()
}

/// Σ weight · value over the positions of each sequence: `values [B·T] → [S]`, in the order of [`Batch::sequences`].
///
/// Each sum has `sequence_length` terms in the order of positions, zeros after the end of the sequence. Its order depends
/// neither on the other sequences nor on the number of rows.
pub fn sum_by_sequence(values: Tensor<1>, batch: &Batch) -> Tensor<1> {
    let (count, width) = (batch.sequences.len(), batch.sequence_length);
    let (mut positions, mut weights) = (Vec::with_capacity(count * width), Vec::with_capacity(count * width));
    for sequence in &batch.sequences {
        let first = sequence.row * width + sequence.column;
        for offset in 0..width {
            let position = first + if offset < sequence.length { offset } else { 0 };
            positions.push(position as i32);
            weights.push(if offset < sequence.length { batch.weights[position] } else { 0.0 });
        }
    }
    let device = values.device().without_autodiff();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [count * width]), (&device, values.dtype()));
    let picked = values.select(0, int_tensor(positions, &device));
    (picked * weights).reshape([count, width]).sum_dim(1).reshape([count])
}

/// Σ weight of each sequence: the number of its predicted tokens.
pub fn sequence_weights(batch: &Batch) -> Vec<f32> {
    let weight = |sequence: &kiln_data::BatchSequence| {
        let first = sequence.row * batch.sequence_length + sequence.column;
        batch.weights[first..first + sequence.length].iter().sum()
    };
    batch.sequences.iter().map(weight).collect()
}

/// Integers as a tensor on a device without autodiff.
pub(super) fn int_tensor(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
