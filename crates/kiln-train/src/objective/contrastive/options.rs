//! Options of contrastive training, and what they require of a model.

use crate::recipe::invalid;
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig, Pooling};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Contrastive training of text embeddings with in-batch negatives.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Contrastive {
    /// Temperature: similarities are divided by it before the softmax. sentence-transformers calls 1 / temperature `scale`;
    /// its default 20 is a temperature of 0.05.
    pub temperature: f64,
    /// Pooling of token states into one embedding per text. Absent: that of the head `embedding`; for other heads `mean`, or
    /// `last` with causal attention. The run saves it, and sets that of the head `embedding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Scale embeddings to unit length: similarities are cosines. false: similarities are dot products. The run saves it.
    pub normalize: bool,
    /// Average the loss with the one that ranks all anchors by each positive.
    pub symmetric: bool,
    /// Widths to which embeddings can be truncated later (Matryoshka, 2205.13147): the sum of the losses of the embeddings
    /// truncated to each width. Must include the full width. Empty: the full width only.
    pub matryoshka: Vec<usize>,
    /// Weight of the loss of each width in `matryoshka`. Empty: 1 for each.
    pub matryoshka_weights: Vec<f64>,
    /// Attention between the tokens of a text: `bidirectional` or `causal`. Absent: that of the model (`model.visibility`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

impl Default for Contrastive {
    fn default() -> Self {
        Self {
            temperature: 0.05,
            pooling: None,
            normalize: true,
            symmetric: false,
            matryoshka: Vec::new(),
            matryoshka_weights: Vec::new(),
            visibility: None,
        }
    }
}

impl Contrastive {
    /// Fills in what depends on the model: attention and pooling.
    pub fn resolve(&mut self, model: &ModelConfig) {
        self.visibility.get_or_insert(model.effective_visibility());
        self.pooling = Some(self.pooling_for(model));
    }

    /// The pooling of the embeddings of `model`.
    pub fn pooling_for(&self, model: &ModelConfig) -> Pooling {
        match (self.pooling, &model.head, self.visibility.unwrap_or(model.effective_visibility())) {
            (Some(pooling), ..) => pooling,
            (None, HeadConfig::Embedding(head), _) => head.pooling,
            // The last token is the only one that has seen the whole text (2401.00368).
            (None, _, Visibility::Causal) => Pooling::Last,
            _ => Pooling::Mean,
        }
    }

    /// The embedding head with the pooling and the normalization that are trained.
    pub fn trained_head(&self, head: &EmbeddingHeadConfig) -> EmbeddingHeadConfig {
        let pooling = self.pooling.unwrap_or(head.pooling);
        EmbeddingHeadConfig { pooling, normalize: self.normalize, ..head.clone() }
    }

    /// Width of the embeddings of `model`.
    fn width(model: &ModelConfig) -> usize {
        match &model.head {
            HeadConfig::Embedding(head) => head.projection_dim.unwrap_or(model.hidden),
            _ => model.hidden,
        }
    }

    /// Checks that the model has embeddings; `path` is the key of the objective.
    pub(super) fn check_model(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let refuse =
            |reason: String, suggestion: &str| Err(ValidationError::new(path, reason).with_suggestion(suggestion));
        if matches!(model.head, HeadConfig::Class(_)) {
            let reason = "objective `contrastive` trains embeddings, but the head `class` has logits of classes";
            return refuse(reason.into(), "model.head = \"embedding\"");
        }
        if model.stack == Stack::EncoderDecoder {
            let reason =
                "objective `contrastive` cannot train an encoder-decoder: a text has one stack to pass through";
            return refuse(reason.into(), "model.stack = \"encoder\"");
        }
        Ok(())
    }

    /// Checks the options; `path` is their key.
    pub(super) fn check_options(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let (width, widths, weights) = (Self::width(model), &self.matryoshka, &self.matryoshka_weights);
        let is_repeated = |(i, width): (usize, &usize)| widths[..i].contains(width);
        match self {
            Self { temperature, .. } if !(*temperature > 0.0 && temperature.is_finite()) => {
                invalid(path, "temperature", format!("must be a finite number above 0, found {temperature}"))
            }
            Self { visibility: Some(Visibility::Prefix), .. } => invalid(
                path,
                "visibility",
                "expected bidirectional or causal, found prefix: a text has no prompt".into(),
            ),
            _ if widths.iter().any(|w| *w == 0 || *w > width) => invalid(
                path,
                "matryoshka",
                format!("expected widths from 1 to {width}, that of the embeddings, found {widths:?}"),
            ),
            _ if widths.iter().enumerate().any(is_repeated) => {
                invalid(path, "matryoshka", format!("expected different widths, found {widths:?}"))
            }
            _ if !widths.is_empty() && !widths.contains(&width) => {
                let reason = format!(
                    "the whole embedding would not be trained: expected {width} among the widths, found {widths:?}"
                );
                invalid(path, "matryoshka", reason)
            }
            _ if !weights.is_empty() && weights.len() != widths.len() => {
                let reason =
                    format!("expected one weight for each of the {} widths, found {}", widths.len(), weights.len());
                invalid(path, "matryoshka_weights", reason)
            }
            _ if weights.iter().any(|weight| !(*weight > 0.0 && weight.is_finite())) => {
                invalid(path, "matryoshka_weights", format!("must be finite numbers above 0, found {weights:?}"))
            }
            _ => Ok(()),
        }
    }
}
