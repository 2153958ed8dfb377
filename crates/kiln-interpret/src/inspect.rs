//! One text through a model: where each head looks, and what each layer would say next.

use crate::recorder::ActivationRecorder;
use burn::tensor::{Device, ExecutionError, Int, Tensor, TensorData, activation::softmax};
use kiln_models::{Model, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Where one head of one layer looks.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// The layer: `blocks.3.attention`.
    pub layer: String,
    /// The head, from 0.
    pub head: usize,
    /// Tokens that look.
    pub num_queries: usize,
    /// Tokens that are looked at.
    pub num_keys: usize,
    /// Weight of each look, a row a query.
    pub weights: Vec<f32>,
}

/// What the head says likeliest of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopToken {
    /// The token.
    pub id: u32,
    /// Its probability.
    pub probability: f32,
}

/// What the model would say after a layer, if it were the last.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitLensLayer {
    /// Where it was read: `embedding`, `blocks.3.residual`. The last block's is the model's own.
    pub path: String,
    /// A guess a token.
    pub top_tokens: Vec<TopToken>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionReport {
    /// Maps of every layer and head.
    pub attention_maps: Vec<AttentionMap>,
    /// The logit lens, layer by layer; empty where the head gives no logits.
    pub logit_lens: Vec<LogitLensLayer>,
}

/// Looks at `tokens`, as one document under the model's own visibility. An encoder–decoder reads them in both stacks.
///
/// # Errors
/// If the device fails.
pub async fn inspect(model: &Model, tokens: &[u32]) -> Result<AttentionReport, ExecutionError> {
    let record = ActivationRecorder::new(&["*.weights", "embedding", "blocks.*.residual"]);
    run_forward(model, tokens, record.clone());
    let mut inside = AttentionReport::default();
    for (path, value) in record.activations() {
        match path.strip_suffix(".weights") {
            Some(layer) => inside.attention_maps.extend(read_attention_maps(layer, value).await?),
            None if model.config().head.pooling().is_none() => {
                inside.logit_lens.push(read_logit_lens(model, path, value).await?)
            }
            None => {}
        }
    }
    Ok(inside)
}

fn run_forward(model: &Model, tokens: &[u32], record: ActivationRecorder) {
    let (device, length) = (model.device().without_autodiff(), tokens.len());
    let row =
        |direction: Direction| Layout::packed(&[vec![DocumentSpan { length, start: 0, direction }]], length.max(1));
    let direction = match model.config().effective_visibility() {
        Visibility::Bidirectional => Direction::Bidirectional,
        // What is looked at is a text, not a prompt.
        Visibility::Causal | Visibility::Prefix => Direction::Causal,
    };
    let mut cx = Context::new(&row(direction), &device);
    cx.probe = Some(Box::new(record));
    model.encode(token_tensor(tokens, &device), &row(Direction::Bidirectional), &mut cx);
    model.forward(token_tensor(tokens, &device), &mut cx);
}

fn token_tensor(tokens: &[u32], device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [1, tokens.len()]), device)
}

async fn read_attention_maps(layer: &str, weights: Tensor<4>) -> Result<Vec<AttentionMap>, ExecutionError> {
    let [_, _, queries, keys] = weights.dims();
    let all: Vec<f32> = weights.into_data_async().await?.iter::<f32>().collect();
    let heads = all.chunks(queries * keys).enumerate();
    let map = |(head, weights): (usize, &[f32])| AttentionMap {
        layer: layer.into(),
        head,
        num_queries: queries,
        num_keys: keys,
        weights: weights.into(),
    };
    Ok(heads.map(map).collect())
}

/// What was read, `[1, 1, T, M]`, as guesses.
async fn read_logit_lens(model: &Model, path: String, value: Tensor<4>) -> Result<LogitLensLayer, ExecutionError> {
    let [_, b, t, m] = value.dims();
    let logits = model.logit_lens(value.reshape([b, t, m]));
    let (probabilities, ids) = softmax(logits, 1).max_dim_with_indices(1);
    let probabilities = probabilities.into_data_async().await?;
    let ids = ids.into_data_async().await?;
    let guesses = ids.iter::<u32>().zip(probabilities.iter::<f32>());
    Ok(LogitLensLayer { path, top_tokens: guesses.map(|(id, probability)| TopToken { id, probability }).collect() })
}
