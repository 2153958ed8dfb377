//! Calls `inspect` and `attention`: attention maps, logit lens and probe points of a text.

use crate::{
    Answer, Array, Session, SessionError,
    forward::last_log_probabilities,
    tokens::{encode, token_json, token_text},
};
use kiln_data::Tokenizer;
use kiln_interpret::{ActivationRecorder, AttentionMap, AttentionReport, LogitLensLayer, inspect};
use kiln_models::Model;
use serde::Deserialize;
use serde_json::{Value, json};

/// Maximum number of tokens of an inspected text: time and memory grow with its square.
pub const MAX_TOKENS: usize = 128;

/// Arguments of the call `inspect`.
#[derive(Deserialize)]
pub struct InspectArguments {
    /// Id of the model.
    model: String,
    /// The text.
    text: String,
}

/// Arguments of the call `attention`.
#[derive(Deserialize)]
pub struct AttentionArguments {
    #[serde(flatten)]
    text: InspectArguments,
    /// Path of the layer, such as `blocks.3.attention`.
    layer: String,
    /// Index of the head.
    head: usize,
}

/// The text that was inspected last.
pub struct LastReport {
    /// Id of the model.
    pub model: String,
    text: String,
    report: AttentionReport,
}

impl Session {
    /// Tokens, layers with attention, logit lens, and the paths whose activations can be patched.
    pub(crate) async fn inspect(&self, arguments: InspectArguments) -> Result<Answer, SessionError> {
        let model = self.model(&arguments.model)?;
        let (pretrained, tokenizer) = (&model.pretrained, &model.pretrained.tokenizer);
        let ids = inspected_ids(pretrained, &arguments.text)?;
        let report = inspect(&pretrained.model, &ids).await?;
        let heads = report.attention_maps.chunk_by(|a, b| a.layer == b.layer);
        let answer = json!({
            "tokens": ids.iter().map(|id| token_json(tokenizer, *id)).collect::<Vec<_>>(),
            "attention": heads.map(layer_json).collect::<Vec<_>>(),
            "lens": report.logit_lens.iter().map(|layer| lens_json(layer, tokenizer)).collect::<Vec<_>>(),
            "probes": probe_paths(&pretrained.model, &ids),
        });
        let InspectArguments { model, text } = arguments;
        self.last_report.replace(Some(LastReport { model, text, report }));
        Ok(answer.into())
    }

    /// The attention weights of a head, `[queries, keys]` row-major.
    pub(crate) async fn attention(&self, arguments: AttentionArguments) -> Result<Answer, SessionError> {
        let AttentionArguments { text, layer, head } = arguments;
        let is_last = |last: &LastReport| last.model == text.model && last.text == text.text;
        if !self.last_report.borrow().as_ref().is_some_and(is_last) {
            self.inspect(text).await?;
        }
        let last = self.last_report.borrow();
        let mut maps = last.iter().flat_map(|last| &last.report.attention_maps);
        match maps.find(|map| map.layer == layer && map.head == head) {
            Some(map) => Ok(Answer::from(json!({})).with_array("/weights", Array::Floats(map.weights.clone()))),
            None => {
                let message = format!("the model has no attention weights of head {head} at `{layer}`");
                Err(SessionError::usage(message).at("layer"))
            }
        }
    }
}

/// Token ids of a text that is not too long to be inspected.
pub fn inspected_ids(model: &kiln_pretrained::Pretrained, text: &str) -> Result<Vec<u32>, SessionError> {
    let ids = encode(model, text)?;
    if ids.len() > MAX_TOKENS {
        let message = format!("the text has {} tokens, expected at most {MAX_TOKENS}", ids.len());
        return Err(SessionError::usage(message).at("text").with_help("shorten the text"));
    }
    Ok(ids)
}

/// A layer from the maps of its heads.
fn layer_json(heads: &[AttentionMap]) -> Value {
    let first = &heads[0];
    json!({ "layer": first.layer, "heads": heads.len(), "queries": first.num_queries, "keys": first.num_keys })
}

/// The predictions after a layer.
fn lens_json(layer: &LogitLensLayer, tokenizer: &Tokenizer) -> Value {
    let top = layer
        .top_tokens
        .iter()
        .map(|top| json!({ "id": top.id, "text": token_text(tokenizer, top.id), "probability": top.probability }));
    json!({ "path": layer.path, "top": top.collect::<Vec<_>>() })
}

/// The paths whose activations have a row for each token.
fn probe_paths(model: &Model, ids: &[u32]) -> Vec<String> {
    let recorder = ActivationRecorder::new(&["*"]);
    last_log_probabilities(model, ids, 1, recorder.clone());
    let activations = recorder.activations().into_iter();
    activations.filter(|(_, value)| value.dims()[2] == ids.len()).map(|(path, _)| path).collect()
}
