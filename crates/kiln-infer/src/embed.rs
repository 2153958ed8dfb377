//! Texts as vectors: one a text, from the hidden states of its tokens (1908.10084).

use crate::{error::GenerateError, request::check_texts};
use burn::tensor::{Tensor, TensorData};
use kiln_models::{Model, Stack};
use kiln_nn::{
    Context,
    head::{Pooling, l2_normalize},
};
use kiln_spec::{DocumentSpan, Layout};

/// A vector a text, `[texts, M]`: the hidden states of its tokens (an encoder–decoder's are its encoder's) pooled, and
/// divided by their length if asked for. Texts of unequal length are padded, which changes no vector.
///
/// # Errors
/// A text without tokens, with one that the model doesn't have, or longer than its positions.
pub fn embed(model: &Model, texts: &[Vec<u32>], pool: Pooling, normalise: bool) -> Result<Tensor<2>, GenerateError> {
    check_texts(texts, model)?;
    let (device, hidden) = (model.device(), model.config().hidden);
    if texts.is_empty() {
        return Ok(Tensor::zeros([0, hidden], &device));
    }
    let width = texts.iter().map(Vec::len).max().unwrap_or_default();
    let reads = model.config().encoder_model_config();
    let visibility = reads.as_ref().unwrap_or(model.config()).effective_visibility();
    let piece = |text: &Vec<u32>| {
        vec![DocumentSpan { length: text.len(), start: 0, direction: visibility.direction(text.len()) }]
    };
    let layout = Layout::packed(&texts.iter().map(piece).collect::<Vec<_>>(), width);
    let padded = |text: &Vec<u32>| {
        let padding = std::iter::repeat_n(0, width - text.len());
        text.iter().map(|id| *id as i32).chain(padding).collect::<Vec<_>>()
    };
    let ids: Vec<i32> = texts.iter().flat_map(padded).collect();
    let tokens = Tensor::from_data(TensorData::new(ids, [texts.len(), width]), &device);
    let mut cx = Context::new(&layout, &device);
    let hidden = if model.config().stack == Stack::EncoderDecoder {
        model.encode(tokens, &layout, &mut cx);
        cx.memory.take().map_or_else(|| Tensor::zeros([texts.len(), width, hidden], &device), |memory| memory.hidden)
    } else {
        model.forward(tokens, &mut cx)
    };
    let vectors = pool.pool(hidden, &cx.stream.tokens);
    Ok(if normalise { l2_normalize(vectors) } else { vectors })
}
