//! Text embeddings: one vector per text, pooled from the hidden states of its tokens (Sentence-BERT, 1908.10084).

use crate::{
    error::GenerateError,
    request::check_texts,
    rows::{as_slices, int_tensor, one_document_per_row, pad_rows_to},
};
use burn::tensor::Tensor;
use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, Stack};
use kiln_nn::{
    Context,
    head::{Pooling, l2_normalize},
};

/// Returns one embedding per text, `[texts, hidden]`: the pooled hidden states of its tokens.
///
/// The hidden states are those of the encoder of an encoder-decoder model, otherwise those before the head. With
/// `normalize`, vectors have length 1, so that the dot product of two is their cosine similarity. Texts of unequal length
/// are padded, which does not change their vectors. Without texts, the result is `[0, hidden]`.
///
/// # Errors
/// [`GenerateError::EmptyPrompt`] for a text without tokens, [`GenerateError::UnknownToken`] for an id beyond the
/// vocabulary, [`GenerateError::PromptTooLong`] for a text longer than the position table.
pub fn embed(model: &Model, texts: &[Vec<u32>], pooling: Pooling, normalize: bool) -> Result<Tensor<2>, GenerateError> {
    let vectors = pool_texts(model, texts, &[pooling], 0, Arithmetic::Fast)?;
    Ok(if normalize { l2_normalize(vectors) } else { vectors })
}

/// Returns the pooled hidden states of each text, `[texts, modes · hidden]`: the vectors of several modes side by side.
/// The first `skipped` tokens of each text (a prompt) are not pooled. In exact arithmetic a text's vector is the same to the bit
/// alone and beside others.
///
/// # Errors
/// As [`embed`]; also exact arithmetic on a device that doesn't have it.
pub fn pool_texts(
    model: &Model,
    texts: &[Vec<u32>],
    modes: &[Pooling],
    skipped: usize,
    arithmetic: Arithmetic,
) -> Result<Tensor<2>, GenerateError> {
    check_texts(texts, model)?;
    model.check_arithmetic(arithmetic)?;
    let config = model.config();
    let device = model.device();
    if texts.is_empty() {
        return Ok(Tensor::zeros([0, config.hidden * modes.len()], &device));
    }
    let width = texts.iter().map(Vec::len).max().unwrap_or_default();
    let encoder_config = config.encoder_model_config();
    let visibility = encoder_config.as_ref().unwrap_or(config).effective_visibility();
    let rows = as_slices(texts);
    let layout = one_document_per_row(&rows, width, |length| visibility.direction(length));
    let tokens = int_tensor(pad_rows_to(&rows, width), [texts.len(), width], &device);
    let mut cx = Context::new(&layout, &device).with_arithmetic(arithmetic);
    let hidden = if config.stack == Stack::EncoderDecoder {
        model.encode(tokens, &layout, &mut cx);
        let memory = cx.memory.take();
        memory.map_or_else(|| Tensor::zeros([texts.len(), width, config.hidden], &device), |memory| memory.hidden)
    } else {
        model.forward(tokens, &mut cx)
    };
    let pooled = modes.iter().map(|mode| mode.pool_after(skipped, hidden.clone(), &cx.stream.tokens, cx.arithmetic));
    Ok(Tensor::cat(pooled.collect(), 1))
}
