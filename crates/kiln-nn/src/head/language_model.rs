//! Language-model head: logits = (scale · f(h)) W + b over the vocabulary.
//!
//! W is the transposed token table (tied, 1608.05859) or a matrix of its own; f is the identity or BERT's transform
//! norm(activation(h W_t + b_t)) (1810.04805). T5 scales h by 1/√M.
//!
//! Parameters: `weight [M, V]` unless tied, `bias [V]` (optional), and with a transform `transform.dense.weight [M, M]`,
//! `transform.dense.bias [M]`, `transform.norm`. Cost: 2 M V operations per token, usually the most expensive single matrix.

use super::OutputHead;
use crate::{
    init::Initializer,
    linear::Linear,
    norm::{LayerNormConfig, Norm, NormConfig},
    packed_weight::{PackedWeight, WeightView},
    part::feed_forward::activation::Activation,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};
use kiln_kernels::linear_cross_entropy::{LinearCrossEntropyCall, VocabularyMatrix, linear_cross_entropy};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LanguageModelHead`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageModelHeadConfig {
    /// Tie the output matrix to the token embedding.
    pub tied: bool,
    /// Use a bias per token.
    pub bias: bool,
    /// Factor applied to hidden states before the output matrix. Absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// BERT-style transform before the output matrix: norm(activation(h W + b)). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<HeadTransformConfig>,
}

impl Default for LanguageModelHeadConfig {
    fn default() -> Self {
        Self { tied: true, bias: false, scale: None, transform: None }
    }
}

/// Options of BERT's transform before the output matrix.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HeadTransformConfig {
    /// Activation function.
    pub activation: Activation,
    /// Norm after the activation.
    pub norm: NormConfig,
}

impl Default for HeadTransformConfig {
    fn default() -> Self {
        Self { activation: Activation::Gelu, norm: NormConfig::Layer(LayerNormConfig::default()) }
    }
}

/// BERT's transform: norm(activation(h W + b)).
#[derive(Module, Debug)]
struct HeadTransform {
    /// W_t and b_t, `[M, M]`.
    dense: Linear,
    /// Norm after the activation.
    norm: Norm,
    #[module(skip)]
    activation: Activation,
}

impl HeadTransform {
    fn init(config: &HeadTransformConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let m = build.hidden;
        Self {
            dense: Linear::new("dense", [m, m], true, init),
            norm: init.scope("norm", |init| config.norm.init(build, init)),
            activation: config.activation,
        }
    }

    /// `[N, M] → [N, M]`.
    fn forward(&self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = self.activation.apply(self.dense.forward(hidden));
        self.norm.forward(hidden.unsqueeze_dim(0)).squeeze_dim(0)
    }
}

/// Language-model head: logits over the vocabulary for each token.
#[derive(Module, Debug)]
pub struct LanguageModelHead {
    transform: Option<HeadTransform>,
    /// Output matrix `[M, V]`; absent if tied.
    weight: Option<Param<Tensor<2>>>,
    /// Packed form of the output matrix, if it was loaded packed.
    #[module(skip)]
    packed: Option<PackedWeight>,
    /// `[V]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    scale: Option<f64>,
}

impl Variant for LanguageModelHead {
    type Config = LanguageModelHeadConfig;
    const CARD: Card = Card::new("language", "1608.05859, 1810.04805");

    fn check(config: &LanguageModelHeadConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if let Some(scale) = config.scale.filter(|scale| *scale == 0.0 || !scale.is_finite()) {
            let reason = format!(
                "hidden states are multiplied by the scale; expected a finite number other than 0, found {scale}"
            );
            return Err(ValidationError::new(format!("{path}.scale"), reason).with_suggestion("leave it out"));
        }
        let norm = config.transform.as_ref().map(|transform| &transform.norm);
        norm.map_or(Ok(()), |norm| norm.check(build, &format!("{path}.transform.norm")))
    }

    fn init(config: &LanguageModelHeadConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (vocab, m) = (build.vocab, build.hidden);
        let weight = (!config.tied).then(|| init.packable_matrix("weight", [m, vocab], 1.0 / (m as f64).sqrt(), true));
        let (weight, packed) = weight.map_or((None, None), |(weight, packed)| (Some(weight), packed));
        let transform = config.transform.as_ref();
        let transform =
            transform.map(|config| init.scope("transform", |init| HeadTransform::init(config, build, init)));
        let bias = config.bias.then(|| init.constant([vocab], 0.0));
        Self { transform, weight, packed, bias, scale: config.scale }
    }
}

impl LanguageModelHead {
    /// The transformed hidden states with the output matrix and what else makes logits of them.
    fn call(&self, hidden: Tensor<2>, embedding: WeightView) -> LinearCrossEntropyCall {
        let hidden = match &self.transform {
            Some(transform) => transform.forward(hidden),
            None => hidden,
        };
        let view = self.weight.as_ref().map(|weight| WeightView::new(weight, self.packed.as_ref()));
        let matrix = match (view.unwrap_or(embedding).packed(), view) {
            (Some(packed), _) => VocabularyMatrix::Packed(packed.clone()),
            (None, Some(view)) => VocabularyMatrix::Columns(view.val()),
            (None, None) => VocabularyMatrix::Rows(embedding.val()),
        };
        let bias = self.bias.as_ref().map(Param::val);
        LinearCrossEntropyCall { hidden, matrix, bias, scale: self.scale, softcap: None }
    }
}

impl OutputHead for LanguageModelHead {
    fn forward(&self, hidden: Tensor<2>, embedding: WeightView) -> Tensor<2> {
        self.call(hidden, embedding).logits()
    }

    /// Large logits are never formed as a whole: [`kiln_kernels::linear_cross_entropy`].
    fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>, embedding: WeightView) -> Tensor<1> {
        linear_cross_entropy(self.call(hidden, embedding), targets)
    }

    fn is_tied(&self) -> bool {
        self.weight.is_none()
    }
}
