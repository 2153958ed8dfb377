//! Language-model head: logits = c tanh(((scale · f(h)) W + b) / c) over the vocabulary, without tanh if there is no cap c.
//!
//! W is the transposed token table (tied, 1608.05859) or a matrix of its own; f is the identity or BERT's transform
//! norm(activation(h W_t + b_t)) (1810.04805). T5 scales h by 1/√M, Granite and Cohere by a constant. Gemma 2 caps the logits
//! (2408.00118, section 2). W may be narrower than the hidden states, as the table of a factorized embedding is (`width` W):
//! then the transform maps to its width, or, without a transform, a linear map without bias (OPT-350m).
//!
//! Parameters: `weight [W, V]` unless tied, `bias [V]` (optional), with a transform `transform.dense.weight [M, W]`,
//! `transform.dense.bias [W]`, `transform.norm`, and with a width but no transform `project_out.weight [M, W]`. W = M by
//! default. Cost: 2 W V operations per token, usually the most expensive single matrix.

use super::OutputHead;
use crate::{
    init::Initializer,
    linear::Linear,
    norm::{LayerNormConfig, Norm, NormConfig},
    packed_weight::{PackedWeight, WeightView},
    part::feed_forward::activation::Activation,
    variant::{BuildContext, Card, MAX_WIDTH, Variant, check_limit},
};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};
use kiln_kernels::{
    exact::Arithmetic,
    linear_cross_entropy::{LinearCrossEntropyCall, VocabularyMatrix, linear_cross_entropy},
};
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
    /// Width of the output matrix's input. Hidden states are projected to it by the transform, or else by a matrix. Absent:
    /// the width of the token embedding if tied, otherwise the hidden size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Cap c of the logits: c · tanh(logit / c) (Gemma 2). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
}

impl Default for LanguageModelHeadConfig {
    fn default() -> Self {
        Self { tied: true, bias: false, scale: None, transform: None, width: None, softcap: None }
    }
}

/// Options of BERT's transform before the output matrix or a classifier.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HeadTransformConfig {
    /// Activation function.
    pub activation: Activation,
    /// Norm after the activation.
    pub norm: NormConfig,
    /// Use a bias in the transform's matrix.
    pub bias: bool,
}

impl Default for HeadTransformConfig {
    fn default() -> Self {
        Self { activation: Activation::GELU, norm: NormConfig::Layer(LayerNormConfig::default()), bias: true }
    }
}

/// BERT's transform: norm(activation(h W + b)).
#[derive(Module, Debug)]
pub(super) struct HeadTransform {
    /// W_t and b_t, `[M, W]`.
    dense: Linear,
    /// Norm after the activation.
    norm: Norm,
    #[module(skip)]
    activation: Activation,
}

impl HeadTransformConfig {
    /// Checks the options at `path`. `build` has the width of the transform.
    pub(super) fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        self.activation.check_ungated(&format!("{path}.activation"))?;
        self.norm.check(build, &format!("{path}.norm"))
    }
}

impl HeadTransform {
    pub fn init(config: &HeadTransformConfig, width: usize, build: &BuildContext, init: &mut Initializer) -> Self {
        let narrow = BuildContext { hidden: width, ..*build };
        Self {
            dense: Linear::new("dense", [build.hidden, width], config.bias, init),
            norm: init.scope("norm", |init| config.norm.init(&narrow, init)),
            activation: config.activation,
        }
    }

    /// `[N, M] → [N, W]`.
    pub fn forward(&self, hidden: Tensor<2>, arithmetic: Arithmetic) -> Tensor<2> {
        let hidden = self.activation.apply(self.dense.forward_in(hidden, arithmetic));
        self.norm.forward(hidden.unsqueeze_dim(0)).squeeze_dim(0)
    }
}

/// Language-model head: logits over the vocabulary for each token.
#[derive(Module, Debug)]
pub struct LanguageModelHead {
    transform: Option<HeadTransform>,
    /// Map to the width of the output matrix, `[M, W]`, where no transform does it.
    project_out: Option<Linear>,
    /// Output matrix `[W, V]`; absent if tied.
    weight: Option<Param<Tensor<2>>>,
    /// Packed form of the output matrix, if it was loaded packed.
    #[module(skip)]
    packed: Option<PackedWeight>,
    /// `[V]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    scale: Option<f64>,
    #[module(skip)]
    softcap: Option<f64>,
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
        let width = config.width.unwrap_or(build.hidden);
        if width == 0 || width > MAX_WIDTH {
            let reason = format!("expected a width from 1 to {MAX_WIDTH}, found {width}");
            return Err(ValidationError::new(format!("{path}.width"), reason).with_suggestion("leave it out"));
        }
        check_limit(config.softcap, format!("{path}.softcap"))?;
        let narrow = BuildContext { hidden: width, ..*build };
        config.transform.as_ref().map_or(Ok(()), |transform| transform.check(&narrow, &format!("{path}.transform")))
    }

    fn init(config: &LanguageModelHeadConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (vocab, width) = (build.vocab, config.width.unwrap_or(build.hidden));
        let std = 1.0 / (width as f64).sqrt();
        let weight = (!config.tied).then(|| init.packable_matrix("weight", [width, vocab], std, true));
        let (weight, packed) = weight.map_or((None, None), |(weight, packed)| (Some(weight), packed));
        let transform = config.transform.as_ref();
        let transform =
            transform.map(|config| init.scope("transform", |init| HeadTransform::init(config, width, build, init)));
        let project_out = config.width.filter(|_| transform.is_none());
        let project_out = project_out.map(|width| Linear::new("project_out", [build.hidden, width], false, init));
        let bias = config.bias.then(|| init.constant([vocab], 0.0));
        Self { transform, project_out, weight, packed, bias, scale: config.scale, softcap: config.softcap }
    }
}

impl LanguageModelHead {
    /// The transformed hidden states with the output matrix and what else makes logits of them.
    fn call(&self, hidden: Tensor<2>, embedding: WeightView, arithmetic: Arithmetic) -> LinearCrossEntropyCall {
        let hidden = match (&self.transform, &self.project_out) {
            (Some(transform), _) => transform.forward(hidden, arithmetic),
            (None, Some(projection)) => projection.forward_in(hidden, arithmetic),
            (None, None) => hidden,
        };
        let view = self.weight.as_ref().map(|weight| WeightView::new(weight, self.packed.as_ref()));
        let matrix = match (view.unwrap_or(embedding).packed(), view) {
            (Some(packed), _) => VocabularyMatrix::Packed(packed.clone()),
            (None, Some(view)) => VocabularyMatrix::Columns(view.val()),
            (None, None) => VocabularyMatrix::Rows(embedding.val()),
        };
        let bias = self.bias.as_ref().map(Param::val);
        LinearCrossEntropyCall { hidden, matrix, bias, scale: self.scale, softcap: self.softcap }
    }
}

impl OutputHead for LanguageModelHead {
    fn forward(&self, hidden: Tensor<2>, embedding: WeightView, arithmetic: Arithmetic) -> Tensor<2> {
        self.call(hidden, embedding, arithmetic).logits_in(arithmetic)
    }

    /// Large logits are never formed as a whole: [`kiln_kernels::linear_cross_entropy`].
    fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>, embedding: WeightView) -> Tensor<1> {
        linear_cross_entropy(self.call(hidden, embedding, Arithmetic::Fast), targets)
    }

    fn is_tied(&self) -> bool {
        self.weight.is_none()
    }
}
