//! Embeddings of documents: one vector a document, projected if asked for, on the unit sphere (1908.10084).

use super::{OutputHead, Pooling};
use crate::{
    init::Initializer,
    linear::Linear,
    packed_weight::WeightView,
    variant::{BuildContext, Card, MAX_WIDTH, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Embedding`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingHeadConfig {
    /// Pooling of token states into one vector per document.
    pub pooling: Pooling,
    /// Width of a linear projection without bias. Absent: no projection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_dim: Option<usize>,
    /// Normalize vectors to unit length (dot product = cosine similarity).
    pub normalize: bool,
}

impl Default for EmbeddingHeadConfig {
    fn default() -> Self {
        Self { pooling: Pooling::Mean, projection_dim: None, normalize: true }
    }
}

/// A vector a document.
#[derive(Module, Debug)]
pub struct EmbeddingHead {
    dense: Option<Linear>,
    #[module(skip)]
    pool: Pooling,
    #[module(skip)]
    normalise: bool,
}

impl Variant for EmbeddingHead {
    type Config = EmbeddingHeadConfig;
    const CARD: Card = Card {
        incompatible_with: "objectives that predict tokens",
        exemptions: &[("learns", "it predicts no tokens")],
        ..Card::new("embedding", "1908.10084")
    };

    fn check(config: &EmbeddingHeadConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config.projection_dim {
            Some(width) if width == 0 || width > MAX_WIDTH => {
                let reason = format!("a width from 1 to {MAX_WIDTH}, found {width}");
                Err(ValidationError::new(format!("{path}.projection_dim"), reason).with_suggestion("leave it away"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &EmbeddingHeadConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let dense = |width| Linear::new("dense", [around.hidden, width], false, init);
        Self { dense: config.projection_dim.map(dense), pool: config.pooling, normalise: config.normalize }
    }
}

impl OutputHead for EmbeddingHead {
    fn forward(&self, hidden: Tensor<2>, _embedding: WeightView) -> Tensor<2> {
        let vectors = match &self.dense {
            Some(dense) => dense.forward(hidden),
            None => hidden,
        };
        if self.normalise { l2_normalize(vectors) } else { vectors }
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.pool)
    }
}

/// x / ‖x‖ of each row, `[N, M] → [N, M]`, with a slope at 0 too.
pub fn l2_normalize(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone().square().sum_dim(1) + 1e-12).sqrt();
    x * length.recip()
}
