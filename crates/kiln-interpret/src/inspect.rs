//! Attention maps and logit lens of one text.
//!
//! The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") applies the final norm and the output head to
//! the residual stream x after each layer, as if no block followed: p = softmax(head(norm(x))).

use crate::{forward::forward_text, recorder::ActivationRecorder};
use burn::tensor::{ExecutionError, Tensor, activation::softmax};
use kiln_models::Model;

/// Attention weights of one head of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Path of the layer, such as `blocks.3.attention`.
    pub layer: String,
    /// Index of the query head, from 0.
    pub head: usize,
    /// Number of query tokens, the rows of the map.
    pub num_queries: usize,
    /// Number of key tokens, the columns of the map.
    pub num_keys: usize,
    /// Weights `[num_queries, num_keys]` in row-major order, 0 where the mask hides a key. With softmax attention each
    /// row sums to 1; a sink or unnormalized attention gives other sums.
    pub weights: Vec<f32>,
}

/// Most likely next token and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopToken {
    /// Token id.
    pub id: u32,
    /// Probability, 0 to 1.
    pub probability: f32,
}

/// Predictions after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitLensLayer {
    /// Path of the residual stream: `embedding` or `blocks.3.residual`. After the last block the predictions are those
    /// of the model itself.
    pub path: String,
    /// Prediction at each token of the text.
    pub top_tokens: Vec<TopToken>,
}

/// Attention maps and logit lens of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionReport {
    /// Maps of all layers, in the order of the forward pass, and of their heads. Layers without attention weights (state
    /// space models, for example) have none.
    pub attention_maps: Vec<AttentionMap>,
    /// Predictions after the embedding and after each block. Empty if the head gives no logits of tokens (embedding
    /// models, classifiers).
    pub logit_lens: Vec<LogitLensLayer>,
}

/// Runs `tokens` through the model as one document and returns attention maps and logit lens.
///
/// The document has the model's own visibility; a prefix model reads it causally. An encoder-decoder reads the same
/// tokens in both stacks. Attention weights exist in the reference kernel only, so the run uses it: time and memory grow
/// with the square of the number of tokens.
///
/// # Errors
/// [`ExecutionError`] if the device fails while the results are read back.
pub async fn inspect(model: &Model, tokens: &[u32]) -> Result<AttentionReport, ExecutionError> {
    let recorder = ActivationRecorder::new(&["*.weights", "embedding", "blocks.*.residual"]);
    forward_text(model, tokens, 1, recorder.clone());
    let predicts_tokens = model.config().head.pooling().is_none();
    let mut report = AttentionReport::default();
    for (path, value) in recorder.activations() {
        match path.strip_suffix(".weights") {
            Some(layer) => report.attention_maps.extend(read_attention_maps(layer, value).await?),
            None if predicts_tokens => report.logit_lens.push(read_logit_lens(model, path, value).await?),
            None => {}
        }
    }
    Ok(report)
}

/// Weights `[1, H, T, S]` of a layer as one map per head.
async fn read_attention_maps(layer: &str, weights: Tensor<4>) -> Result<Vec<AttentionMap>, ExecutionError> {
    let [_, _, num_queries, num_keys] = weights.dims();
    let all_heads: Vec<f32> = weights.into_data_async().await?.iter::<f32>().collect();
    let heads = all_heads.chunks(num_queries * num_keys).enumerate();
    let maps = heads.map(|(head, weights)| AttentionMap {
        layer: layer.into(),
        head,
        num_queries,
        num_keys,
        weights: weights.into(),
    });
    Ok(maps.collect())
}

/// Predictions of a residual stream `[1, 1, T, M]`.
async fn read_logit_lens(model: &Model, path: String, residual: Tensor<4>) -> Result<LogitLensLayer, ExecutionError> {
    let [_, b, t, m] = residual.dims();
    let logits = model.logit_lens(residual.reshape([b, t, m]));
    let (probabilities, ids) = softmax(logits, 1).max_dim_with_indices(1);
    let probabilities = probabilities.into_data_async().await?;
    let ids = ids.into_data_async().await?;
    let pairs = ids.iter::<u32>().zip(probabilities.iter::<f32>());
    Ok(LogitLensLayer { path, top_tokens: pairs.map(|(id, probability)| TopToken { id, probability }).collect() })
}
