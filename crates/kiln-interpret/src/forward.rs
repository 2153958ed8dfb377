//! Forward passes over copies of one text, with a probe.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_models::{Model, Visibility};
use kiln_nn::{Context, Probe};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Runs `rows` copies of a text of T tokens through the model, without gradients, and returns the hidden states `[rows, T, M]`.
///
/// Each copy is one document with the model's own visibility; a prefix model reads it causally, since the text is no prompt.
/// An encoder-decoder reads the same tokens in both stacks.
pub fn forward_text(model: &Model, tokens: &[u32], rows: usize, probe: impl Probe + 'static) -> Tensor<3> {
    let device = model.device().without_autodiff();
    let direction = match model.config().effective_visibility() {
        Visibility::Bidirectional => Direction::Bidirectional,
        Visibility::Causal | Visibility::Prefix => Direction::Causal,
    };
    let mut cx = Context::new(&documents(rows, tokens.len(), direction), &device);
    cx.probe = Some(Box::new(probe));
    let encoder_layout = documents(rows, tokens.len(), Direction::Bidirectional);
    model.encode(token_tensor(tokens, rows, &device), &encoder_layout, &mut cx);
    model.forward(token_tensor(tokens, rows, &device), &mut cx)
}

/// Layout of rows with one document of `length` tokens each.
fn documents(rows: usize, length: usize, direction: Direction) -> Layout {
    let document = DocumentSpan { length, start: 0, direction };
    Layout::packed(&vec![vec![document]; rows], length.max(1))
}

/// Copies of a text, `[rows, T]`.
fn token_tensor(tokens: &[u32], rows: usize, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = (0..rows).flat_map(|_| tokens.iter().map(|id| *id as i32)).collect();
    Tensor::from_data(TensorData::new(ids, [rows, tokens.len()]), device)
}
