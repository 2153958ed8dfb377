//! Calls `patch` and `patch_map`: activation patching between two texts.

use crate::{
    Answer, Array, Session, SessionError,
    forward::{last_log_probabilities, read},
    inspect::inspected_ids,
    tokens::{token_json, token_text},
};
use burn::tensor::{Tensor, TensorData};
use kiln_data::Tokenizer;
use kiln_interpret::{ActivationEdit, ActivationRecorder, PatchSet};
use kiln_pretrained::Pretrained;
use serde::Deserialize;
use serde_json::{Value, json};

/// Number of tokens of a listed distribution.
const LISTED_TOKENS: usize = 5;

/// Two texts of the same number of tokens.
#[derive(Deserialize)]
struct TextPair {
    /// Id of the model.
    model: String,
    /// The text that is run.
    text: String,
    /// The text whose activations are taken.
    source_text: String,
}

/// Arguments of the call `patch`.
#[derive(Deserialize)]
pub struct PatchArguments {
    #[serde(flatten)]
    texts: TextPair,
    /// Path of the activation, such as `blocks.1.residual`.
    path: String,
    /// Index of the token.
    position: usize,
}

/// Arguments of the call `patch_map`.
#[derive(Deserialize)]
pub struct PatchMapArguments {
    #[serde(flatten)]
    texts: TextPair,
    /// Text whose first token is the answer; absent: the most likely token after the source text.
    #[serde(default)]
    answer: Option<String>,
}

impl Session {
    /// The next-token distribution after a text, before and after one activation is replaced by that of another text.
    pub(crate) async fn patch(&self, arguments: PatchArguments) -> Result<Answer, SessionError> {
        let PatchArguments { texts, path, position } = arguments;
        let loaded = self.model(&texts.model)?;
        let model = &loaded.pretrained;
        let (ids, source_ids) = token_pair(model, &texts)?;
        if position >= ids.len() {
            let message = format!("expected a position below {}, found {position}", ids.len());
            return Err(SessionError::usage(message).at("position"));
        }
        let recorder = ActivationRecorder::new(&[&path]);
        last_log_probabilities(&model.model, &source_ids, 1, recorder.clone());
        let source = recorder.get(&path).filter(|value| value.dims()[2] == ids.len());
        let Some(source) = source else {
            let error =
                SessionError::usage(format!("the model has no activation for each token at `{path}`")).at("path");
            return Err(error.with_help("`inspect` lists the paths"));
        };
        let before = read(last_log_probabilities(&model.model, &ids, 1, PatchSet::default())).await?;
        let edit = ActivationEdit::new(path, move |_, value| replace_token(value, &source, position));
        let after = read(last_log_probabilities(&model.model, &ids, 1, edit)).await?;
        Ok(json!({
            "before": top_tokens(&before, &model.tokenizer),
            "after": top_tokens(&after, &model.tokenizer),
            "kl": kl_divergence(&before, &after),
        })
        .into())
    }

    /// The change of the answer's log-probability by a patch of each residual stream at each token, in nats.
    pub(crate) async fn patch_map(&self, arguments: PatchMapArguments) -> Result<Answer, SessionError> {
        let loaded = self.model(&arguments.texts.model)?;
        let model = &loaded.pretrained;
        let (ids, source_ids) = token_pair(model, &arguments.texts)?;
        let recorder = ActivationRecorder::new(&["embedding", "blocks.*.residual"]);
        let source = read(last_log_probabilities(&model.model, &source_ids, 1, recorder.clone())).await?;
        let answer = match arguments.answer.filter(|answer| !answer.is_empty()) {
            Some(text) => answer_token(model, &text)?,
            None => most_likely(&source),
        };
        let before = read(last_log_probabilities(&model.model, &ids, 1, PatchSet::default())).await?[answer as usize];
        let (mut paths, mut values) = (Vec::new(), Vec::new());
        for (path, source) in recorder.activations() {
            // Row `i` of the batch has the patch at token `i`.
            let edit = ActivationEdit::new(path.as_str(), move |_, value| replace_diagonal(value, &source));
            let after = last_log_probabilities(&model.model, &ids, ids.len(), edit);
            let after = read(after.narrow(1, answer as usize, 1)).await?;
            values.extend(after.into_iter().map(|after| after - before));
            paths.push(path);
            self.host.yield_now().await;
        }
        let tokens: Vec<Value> = ids.iter().map(|id| token_json(&model.tokenizer, *id)).collect();
        let answer = token_json(&model.tokenizer, answer);
        let value = json!({ "paths": paths, "tokens": tokens, "answer": answer });
        Ok(Answer::from(value).with_array("/values", Array::Floats(values)))
    }
}

/// Token ids of both texts.
///
/// # Errors
/// If they have different numbers of tokens, or the model does not predict tokens.
fn token_pair(model: &Pretrained, texts: &TextPair) -> Result<(Vec<u32>, Vec<u32>), SessionError> {
    if model.model.config().head.pooling().is_some() {
        return Err(SessionError::usage("the model predicts no tokens").at("model"));
    }
    let [ids, source_ids] = [inspected_ids(model, &texts.text)?, inspected_ids(model, &texts.source_text)?];
    if ids.len() != source_ids.len() {
        let [tokens, source] = [ids.len(), source_ids.len()];
        let message = format!("the texts need the same number of tokens, found {tokens} and {source}");
        return Err(SessionError::usage(message)
            .at("source_text")
            .with_help("change a word so that the numbers agree"));
    }
    Ok((ids, source_ids))
}

/// The first token of an answer.
fn answer_token(model: &Pretrained, text: &str) -> Result<u32, SessionError> {
    let ids = model.tokenizer.encode(text);
    model.tokenizer.check_rows(&ids, model.model.config().vocab)?;
    ids.first().copied().ok_or_else(|| SessionError::usage("the answer has no tokens").at("answer"))
}

/// `value [A, B, T, D]` with the token at `position` of `source`, in every row.
fn replace_token(value: Tensor<4>, source: &Tensor<4>, position: usize) -> Tensor<4> {
    let [a, b, _, d] = value.dims();
    let row = source.clone().narrow(2, position, 1);
    value.slice_assign([0..a, 0..b, position..position + 1, 0..d], row)
}

/// `value [1, T, T, D]` with token `i` of `source [1, 1, T, D]` in row `i`.
fn replace_diagonal(value: Tensor<4>, source: &Tensor<4>) -> Tensor<4> {
    let [a, rows, t, d] = value.dims();
    let diagonal: Vec<f32> = (0..rows * t).map(|at| if at / t == at % t { 1.0 } else { 0.0 }).collect();
    let diagonal = Tensor::<4>::from_data(TensorData::new(diagonal, [1, rows, t, 1]), &value.device());
    let is_patched = diagonal.equal_elem(1.0).expand([a, rows, t, d]);
    value.mask_where(is_patched, source.clone().expand([a, rows, t, d]))
}

/// The most likely token.
fn most_likely(log_probabilities: &[f32]) -> u32 {
    let best = log_probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(id, _)| id as u32)
}

/// The most likely tokens with their probabilities.
fn top_tokens(log_probabilities: &[f32], tokenizer: &Tokenizer) -> Vec<Value> {
    let mut order: Vec<usize> = (0..log_probabilities.len()).collect();
    order.sort_by(|a, b| log_probabilities[*b].total_cmp(&log_probabilities[*a]));
    let top = order.into_iter().take(LISTED_TOKENS).map(|id| {
        let text = token_text(tokenizer, id as u32);
        json!({ "id": id, "text": text, "probability": log_probabilities[id].exp() })
    });
    top.collect()
}

/// KL(before ‖ after) = Σ p · (ln p − ln q), in nats.
fn kl_divergence(before: &[f32], after: &[f32]) -> f64 {
    let terms = before.iter().zip(after).map(|(p, q)| (f64::from(*p), f64::from(*q)));
    terms.filter(|(p, _)| p.is_finite()).map(|(p, q)| p.exp() * (p - q)).sum()
}
