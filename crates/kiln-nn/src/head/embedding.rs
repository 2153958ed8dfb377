//! Embeddings of documents: one vector a document, projected if asked for, on the unit sphere (1908.10084).

use super::{Output, Pooling};
use crate::{
    held::Matrix,
    init::Init,
    linear::Linear,
    variant::{Around, Card, Variant, WIDEST},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Embedding`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Which tokens speak for their document.
    pub pool: Pooling,
    /// Width of a projection without bias; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<usize>,
    /// Whether vectors are divided by their length, so that a product of two is the cosine between them.
    pub normalise: bool,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self { pool: Pooling::Mean, projection: None, normalise: true }
    }
}

/// A vector a document.
#[derive(Module, Debug)]
pub struct Embedding {
    dense: Option<Linear>,
    #[module(skip)]
    pool: Pooling,
    #[module(skip)]
    normalise: bool,
}

impl Variant for Embedding {
    type Config = EmbeddingConfig;
    const CARD: Card = Card {
        refuses: "objectives that predict tokens",
        exempt: &[("learns", "it predicts no tokens")],
        ..Card::new("embedding", "1908.10084")
    };

    fn check(config: &EmbeddingConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        match config.projection {
            Some(width) if width == 0 || width > WIDEST => {
                let reason = format!("a width from 1 to {WIDEST}, found {width}");
                Err(Refusal::new(format!("{path}.projection"), reason).instead("leave it away"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &EmbeddingConfig, around: &Around, init: &mut Init) -> Self {
        let dense = |width| Linear::new("dense", [around.hidden, width], false, init);
        Self { dense: config.projection.map(dense), pool: config.pool, normalise: config.normalise }
    }
}

impl Output for Embedding {
    fn forward(&self, hidden: Tensor<2>, _embedding: Matrix) -> Tensor<2> {
        let vectors = match &self.dense {
            Some(dense) => dense.forward(hidden),
            None => hidden,
        };
        if self.normalise { normalised(vectors) } else { vectors }
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.pool)
    }
}

/// x / ‖x‖ of each row, `[N, M] → [N, M]`, with a slope at 0 too.
pub fn normalised(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone().square().sum_dim(1) + 1e-12).sqrt();
    x * length.recip()
}
