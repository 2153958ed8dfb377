//! What most objectives' losses are made of.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_data::{Batch, EncoderBatch};
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::Layout;

/// −log p of a batch's targets, weighted and summed, `[1]`: what most objectives' losses are made of. Summed row by
/// row: a sum over millions of numbers at once has no fixed order.
pub fn target_loss(model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<1> {
    let hidden = hidden_states(model, batch, cx);
    let [b, t, m] = hidden.dims();
    let targets = to_device(model, batch, &batch.targets).reshape([b * t]);
    let nats = model.cross_entropy(hidden.reshape([b * t, m]), targets);
    let weights = TensorData::new(batch.weights.clone(), [b * t]);
    let weights = Tensor::<1>::from_data(weights, (&nats.device().without_autodiff(), nats.dtype()));
    (nats * weights).reshape([b, t]).sum_dim(1).sum()
}

/// Hidden states of a batch, `[rows, width, M]`. An encoder–decoder reads the batch's memory first.
pub fn hidden_states(model: &Model, batch: &Batch, cx: &mut Context) -> Tensor<3> {
    if let Some(memory) = &batch.encoder {
        let (shape, device) = ([batch.batch_size, memory.sequence_length], model.device().without_autodiff());
        let tokens = Tensor::from_data(TensorData::new(memory.inputs.clone(), shape), &device);
        model.encode(tokens, &memory.layout, cx);
    }
    model.forward(to_device(model, batch, &batch.inputs), cx)
}

/// The batch with positions that the model has: what goes on in the middle of a long document may lie beyond its table.
pub fn restart_positions(batch: Batch, model: &Model) -> Batch {
    let within = |layout: Layout, config: &ModelConfig| match config.position.max_positions() {
        Some(limit) => layout.reset_positions_beyond(limit),
        None => layout,
    };
    let memory = batch.encoder.zip(model.config().encoder_model_config());
    let memory = memory.map(|(memory, encoder)| EncoderBatch { layout: within(memory.layout, &encoder), ..memory });
    Batch { layout: within(batch.layout, model.config()), encoder: memory, ..batch }
}

/// `[rows, width]` integers of a batch, where the model is.
pub fn to_device(model: &Model, batch: &Batch, values: &[i32]) -> Tensor<2, Int> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [batch.batch_size, batch.sequence_length]),
        &model.device().without_autodiff(),
    )
}
