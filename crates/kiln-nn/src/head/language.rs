//! The language-model head: logits = scale · f(h) Wᵀ + b, with W the embedding (1608.05859) or a matrix of its own; f is
//! nothing, or BERT's transform, norm(activation(h W + b)) (1810.04805).

use super::Output;
use crate::{
    held::{Held, Matrix},
    init::Init,
    linear::Linear,
    norm::{LayerNormConfig, Norm, NormConfig},
    part::feed_forward::activation::Activation,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Language`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// Whether the embedding's weights are used.
    pub tied: bool,
    /// Whether each token has a bias.
    pub bias: bool,
    /// Hidden states are multiplied by it before the matrix; absent: by 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// What hidden states go through first; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<TransformConfig>,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self { tied: true, bias: false, scale: None, transform: None }
    }
}

/// Options of the transform before the logits.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TransformConfig {
    /// The function after the matrix.
    pub activation: Activation,
    /// The norm after the function.
    pub norm: NormConfig,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self { activation: Activation::Gelu, norm: NormConfig::Layer(LayerNormConfig::default()) }
    }
}

/// norm(activation(h W + b)).
#[derive(Module, Debug)]
struct Transform {
    dense: Linear,
    norm: Norm,
    #[module(skip)]
    activation: Activation,
}

impl Transform {
    fn init(config: &TransformConfig, around: &Around, init: &mut Init) -> Self {
        let m = around.hidden;
        Self {
            dense: Linear::new("dense", [m, m], true, init),
            norm: init.scope("norm", |init| config.norm.init(around, init)),
            activation: config.activation,
        }
    }

    /// `[N, M] → [N, M]`.
    fn forward(&self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = self.activation.of(self.dense.forward(hidden));
        self.norm.forward(hidden.unsqueeze_dim(0)).squeeze_dim(0)
    }
}

/// Logits over the vocabulary.
#[derive(Module, Debug)]
pub struct Language {
    transform: Option<Transform>,
    /// `[M, V]`.
    weight: Option<Param<Tensor<2>>>,
    #[module(skip)]
    held: Option<Held>,
    /// `[V]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    scale: Option<f64>,
}

impl Variant for Language {
    type Config = LanguageConfig;
    const CARD: Card = Card::new("language", "1608.05859, 1810.04805");

    fn check(config: &LanguageConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        if let Some(scale) = config.scale.filter(|scale| *scale == 0.0 || !scale.is_finite()) {
            let reason = format!("hidden states are multiplied by it: a finite number other than 0, found {scale}");
            return Err(Refusal::new(format!("{path}.scale"), reason).instead("leave it away"));
        }
        let norm = config.transform.as_ref().map(|transform| &transform.norm);
        norm.map_or(Ok(()), |norm| norm.check(around, &format!("{path}.transform.norm")))
    }

    fn init(config: &LanguageConfig, around: &Around, init: &mut Init) -> Self {
        let (vocab, m) = (around.vocab, around.hidden);
        let weight = (!config.tied).then(|| init.matrix("weight", [m, vocab], 1.0 / (m as f64).sqrt(), true));
        let (weight, held) = weight.map_or((None, None), |(weight, held)| (Some(weight), held));
        let transform = |config| init.scope("transform", |init| Transform::init(config, around, init));
        let transform = config.transform.as_ref().map(transform);
        let bias = config.bias.then(|| init.constant([vocab], 0.0));
        Self { transform, weight, held, bias, scale: config.scale }
    }
}

impl Output for Language {
    fn forward(&self, hidden: Tensor<2>, embedding: Matrix) -> Tensor<2> {
        let hidden = match &self.transform {
            Some(transform) => transform.forward(hidden),
            None => hidden,
        };
        let hidden = self.scale.map_or(hidden.clone(), |scale| hidden * scale);
        let logits = match &self.weight {
            Some(weight) => Matrix::new(weight, self.held.as_ref()).by_columns(hidden),
            None => embedding.by_rows(hidden),
        };
        match &self.bias {
            Some(bias) => logits + bias.val().unsqueeze(),
            None => logits,
        }
    }

    fn tied(&self) -> bool {
        self.weight.is_none()
    }
}
