//! Sentence-embedding head: one vector for each document (1908.10084, section 3).
//!
//! h W (optional projection without bias), then x / ‖x‖ if `normalize`, so that a dot product is the cosine similarity.
//! Parameters: `dense.weight [M, projection_dim]` with a projection.

use super::{OutputHead, Pooling};
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

/// Options of [`EmbeddingHead`].
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

/// Sentence-embedding head.
#[derive(Module, Debug)]
pub struct EmbeddingHead {
    /// Projection, `[M, projection_dim]`, without bias.
    dense: Option<Linear>,
    #[module(skip)]
    pooling: Pooling,
    #[module(skip)]
    normalize: bool,
}

impl Variant for EmbeddingHead {
    type Config = EmbeddingHeadConfig;
    const CARD: Card = Card {
        incompatible_with: "objectives that predict tokens",
        exemptions: &[("learns", "it predicts no tokens")],
        ..Card::new("embedding", "1908.10084")
    };

    fn check(config: &EmbeddingHeadConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config.projection_dim {
            Some(width) if width == 0 || width > MAX_WIDTH => {
                let reason = format!("expected a width from 1 to {MAX_WIDTH}, found {width}");
                Err(ValidationError::new(format!("{path}.projection_dim"), reason).with_suggestion("leave it out"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &EmbeddingHeadConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let dense = config.projection_dim.map(|width| Linear::new("dense", [build.hidden, width], false, init));
        Self { dense, pooling: config.pooling, normalize: config.normalize }
    }
}

impl OutputHead for EmbeddingHead {
    fn forward(&self, hidden: Tensor<2>, _embedding: WeightView, arithmetic: Arithmetic) -> Tensor<2> {
        let vectors = match &self.dense {
            Some(dense) => dense.forward_in(hidden, arithmetic),
            None => hidden,
        };
        if self.normalize { l2_normalize(vectors) } else { vectors }
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.pooling)
    }
}

/// L2 normalization of each row: x / √(Σ x² + 10⁻¹²), `[N, M] → [N, M]`. The constant keeps value and gradient finite at 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::head::l2_normalize;
///
/// let x = Tensor::<2>::from_floats([[3.0, 4.0]], &Device::flex());
/// let y: Vec<f32> = l2_normalize(x).into_data().iter::<f32>().collect();
/// assert!((y[0] - 0.6).abs() < 1e-6 && (y[1] - 0.8).abs() < 1e-6);
/// ```
pub fn l2_normalize(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone().square().sum_dim(1) + 1e-12).sqrt();
    x * length.recip()
}
