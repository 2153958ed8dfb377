//! What most objectives' losses are made of.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_data::Batch;
use kiln_models::Model;
use kiln_nn::Cx;

/// −log p of a batch's targets, weighted and summed, `[1]`: what most objectives' losses are made of. Summed row by
/// row: a sum over millions of numbers at once has no fixed order.
pub fn target_loss(model: &Model, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
    let hidden = model.forward(on_device(model, batch, &batch.inputs), cx);
    let [b, t, m] = hidden.dims();
    let targets = on_device(model, batch, &batch.targets).reshape([b * t]);
    let nats = model.cross_entropy(hidden.reshape([b * t, m]), targets);
    let weights = TensorData::new(batch.weights.clone(), [b * t]);
    let weights = Tensor::<1>::from_data(weights, (&nats.device().without_autodiff(), nats.dtype()));
    (nats * weights).reshape([b, t]).sum_dim(1).sum()
}

/// The batch with positions that the model has: what goes on in the middle of a long document may lie beyond its table.
pub fn within_positions(batch: Batch, model: &Model) -> Batch {
    match model.config().position.limit() {
        Some(limit) => Batch { layout: batch.layout.restarted(limit), ..batch },
        None => batch,
    }
}

/// `[rows, width]` integers of a batch, where the model is.
pub fn on_device(model: &Model, batch: &Batch, values: &[i32]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [batch.rows, batch.width]), &model.device().without_autodiff())
}
