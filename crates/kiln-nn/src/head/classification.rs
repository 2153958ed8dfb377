//! Classification head: logits = pooler(h) W + b for each document (1810.04805, section 4.1).
//!
//! h is the pooled hidden state; the optional pooler is BERT's tanh(h W_p + b_p). Instead of it there may be a transform
//! norm(activation(h W_t + b_t)) with another activation (DistilBERT, ELECTRA), or with a norm (ModernBERT). Parameters:
//! `classes.weight [M, classes]`, `classes.bias [classes]`, with a pooler `pooler.weight [M, M]`, `pooler.bias [M]`, and with a
//! transform `transform.dense.weight [M, M]`, `transform.dense.bias [M]`, `transform.norm`.

use super::{
    OutputHead, Pooling,
    language_model::{HeadTransform, HeadTransformConfig},
};
use crate::{
    init::Initializer,
    linear::Linear,
    packed_weight::WeightView,
    variant::{BuildContext, Card, MAX_WIDTH, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`ClassificationHead`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ClassificationHeadConfig {
    /// Number of classes.
    pub num_classes: usize,
    /// Pooling of token states into one vector per document.
    pub pooling: Pooling,
    /// Apply BERT's pooler tanh(x W + b) before the classifier.
    pub pooler: bool,
    /// Transform before the classifier, instead of BERT's pooler: norm(activation(x W + b)). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<HeadTransformConfig>,
}

impl Default for ClassificationHeadConfig {
    fn default() -> Self {
        Self { num_classes: 2, pooling: Pooling::First, pooler: false, transform: None }
    }
}

/// Classification head: one logit for each class.
#[derive(Module, Debug)]
pub struct ClassificationHead {
    /// BERT's pooler, `[M, M]`, followed by tanh.
    pooler: Option<Linear>,
    transform: Option<HeadTransform>,
    /// `[M, classes]`.
    classes: Linear,
    #[module(skip)]
    pooling: Pooling,
}

impl Variant for ClassificationHead {
    type Config = ClassificationHeadConfig;
    const CARD: Card = Card {
        incompatible_with: "objectives that predict tokens; pooler together with transform",
        exemptions: &[("learns", "it predicts no tokens")],
        ..Card::new("class", "1810.04805")
    };

    fn check(config: &ClassificationHeadConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if !(2..=MAX_WIDTH).contains(&config.num_classes) {
            let reason = format!("expected from 2 to {MAX_WIDTH} classes, found {}", config.num_classes);
            return Err(ValidationError::new(format!("{path}.num_classes"), reason).with_suggestion("num_classes = 2"));
        }
        match &config.transform {
            Some(_) if config.pooler => {
                let reason = "expected a pooler or a transform before the classifier, found both";
                Err(ValidationError::new(format!("{path}.pooler"), reason).with_suggestion("pooler = false"))
            }
            Some(transform) => transform.check(build, &format!("{path}.transform")),
            None => Ok(()),
        }
    }

    fn init(config: &ClassificationHeadConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let m = build.hidden;
        let transform = config.transform.as_ref();
        Self {
            transform: transform
                .map(|config| init.scope("transform", |init| HeadTransform::init(config, m, build, init))),
            pooler: config.pooler.then(|| Linear::new("pooler", [m, m], true, init)),
            classes: Linear::new("classes", [m, config.num_classes], true, init),
            pooling: config.pooling,
        }
    }
}

impl OutputHead for ClassificationHead {
    fn forward(&self, hidden: Tensor<2>, _embedding: WeightView, arithmetic: Arithmetic) -> Tensor<2> {
        let hidden = match (&self.pooler, &self.transform) {
            (Some(pooler), _) => pooler.forward_in(hidden, arithmetic).tanh(),
            (None, Some(transform)) => transform.forward(hidden, arithmetic),
            (None, None) => hidden,
        };
        self.classes.forward_in(hidden, arithmetic)
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.pooling)
    }
}
