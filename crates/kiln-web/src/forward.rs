//! Forward passes with a probe over copies of one text.

use burn::tensor::{Device, ExecutionError, Int, Tensor, TensorData, activation::log_softmax};
use kiln_models::{Model, Visibility};
use kiln_nn::{Context, Probe};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Runs `rows` copies of a text through the model, each as one document, and returns the logarithms of the next-token
/// probabilities after its last token, `[rows, V]`. A prefix model reads the text causally; an encoder-decoder reads it in both
/// stacks.
pub fn last_log_probabilities(model: &Model, tokens: &[u32], rows: usize, probe: impl Probe + 'static) -> Tensor<2> {
    let device = model.device().without_autodiff();
    let direction = match model.config().effective_visibility() {
        Visibility::Bidirectional => Direction::Bidirectional,
        Visibility::Causal | Visibility::Prefix => Direction::Causal,
    };
    let mut cx = Context::new(&documents(rows, tokens.len(), direction), &device);
    cx.probe = Some(Box::new(probe));
    let encoder_layout = documents(rows, tokens.len(), Direction::Bidirectional);
    model.encode(token_tensor(tokens, rows, &device), &encoder_layout, &mut cx);
    let hidden = model.forward(token_tensor(tokens, rows, &device), &mut cx);
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

/// A layout of rows with one document each.
fn documents(rows: usize, length: usize, direction: Direction) -> Layout {
    let document = DocumentSpan { length, start: 0, direction };
    Layout::packed(&vec![vec![document]; rows], length)
}

/// Copies of a text, `[rows, T]`.
fn token_tensor(tokens: &[u32], rows: usize, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = (0..rows).flat_map(|_| tokens.iter().map(|id| *id as i32)).collect();
    Tensor::from_data(TensorData::new(ids, [rows, tokens.len()]), device)
}
