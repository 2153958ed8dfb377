//! Next-token distributions after a text, and values of tensors.

use burn::tensor::{ExecutionError, Tensor, activation::log_softmax};
use kiln_interpret::forward_text;
use kiln_models::Model;
use kiln_nn::Probe;

/// Runs `rows` copies of a text through the model with a probe, as [`forward_text`] does, and returns the logarithms of the
/// next-token probabilities after its last token, `[rows, V]`.
pub fn last_log_probabilities(model: &Model, tokens: &[u32], rows: usize, probe: impl Probe + 'static) -> Tensor<2> {
    let hidden = forward_text(model, tokens, rows, probe);
    let last = hidden.narrow(1, tokens.len() - 1, 1).squeeze_dim::<2>(1);
    log_softmax(model.logits(last), 1)
}

/// The values of a tensor.
///
/// # Errors
/// If the device fails.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ExecutionError> {
    Ok(tensor.into_data_async().await?.iter::<f32>().collect())
}
