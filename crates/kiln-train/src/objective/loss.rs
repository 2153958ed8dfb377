//! Functions that the losses of most objectives use.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_data::{Batch, DataError, EncoderBatch, Vocabulary};
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::Layout;

/// Weighted cross-entropy of a batch, `[1]`: Σ weight · −log p(target), in nats.
///
/// The sum is taken row by row: the order of summation of millions of numbers at once is not fixed.
pub fn target_loss(model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<1> {
    let hidden = hidden_states(model, batch, cx);
    let [b, t, m] = hidden.dims();
    let targets = to_device(model, batch, &batch.targets).reshape([b * t]);
    let nats = model.cross_entropy(hidden.reshape([b * t, m]), targets);
    let weights = TensorData::new(batch.weights.clone(), [b * t]);
    let weights = Tensor::<1>::from_data(weights, (&nats.device().without_autodiff(), nats.dtype()));
    (nats * weights).reshape([b, t]).sum_dim(1).sum()
}

/// Hidden states of a batch, `[batch_size, sequence_length, hidden]`. An encoder–decoder encodes the encoder inputs first.
pub fn hidden_states(model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<3> {
    if let Some(encoder) = &batch.encoder {
        let shape = [batch.batch_size, encoder.sequence_length];
        let data = TensorData::new(encoder.inputs.clone(), shape);
        model.encode(Tensor::from_data(data, &model.device().without_autodiff()), &encoder.layout, cx);
    }
    model.forward(to_device(model, batch, &batch.inputs), cx)
}

/// The batch with positions within the position tables of the model: a chunk of a long document whose positions lie beyond
/// `max_position_embeddings` starts again at position 0.
pub fn restart_positions(batch: Batch, model: &Model) -> Batch {
    let encoder = batch.encoder.zip(model.config().encoder_model_config());
    let encoder =
        encoder.map(|(encoder, config)| EncoderBatch { layout: limit_positions(encoder.layout, &config), ..encoder });
    Batch { layout: limit_positions(batch.layout, model.config()), encoder, ..batch }
}

/// Checks that the model has a row for each token that it reads or predicts.
///
/// # Errors
/// [`DataError::TokenWithoutRow`] with the first token that has none, such as a mask token that was added and not trained.
pub fn check_rows(batch: &Batch, vocabulary: &Vocabulary, model: &Model) -> Result<(), DataError> {
    let encoder_inputs = batch.encoder.as_ref().map_or(&[][..], |encoder| &encoder.inputs);
    let ids = batch.inputs.iter().chain(&batch.targets).chain(encoder_inputs);
    vocabulary.check_rows(ids.map(|id| id.cast_unsigned()), model.config().vocab)
}

/// The layout with positions below the maximum of `config`, if there is one.
fn limit_positions(layout: Layout, config: &ModelConfig) -> Layout {
    match config.position.max_positions() {
        Some(limit) => layout.reset_positions_beyond(limit),
        None => layout,
    }
}

/// Integers of a batch as a tensor `[batch_size, sequence_length]` on the device of the model.
pub fn to_device(model: &Model, batch: &Batch, values: &[i32]) -> Tensor<2, Int> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [batch.batch_size, batch.sequence_length]),
        &model.device().without_autodiff(),
    )
}
