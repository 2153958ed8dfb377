//! RMSNorm: x / √(mean(x²) + ε) ⊙ w (1910.07467, eq. 4).
//!
//! No mean is subtracted and there is no bias. Parameters: `weight [M]`, starting at 1. Computed by the kernel
//! [`rms_norm`](kiln_kernels::rms_norm). Gemma's weights are stored as w − 1; loading adds the 1.

use super::Normalization;
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::rms_norm::rms_norm;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`RmsNorm`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RmsNormConfig {
    /// ε, added to the mean square.
    pub eps: f64,
}

impl Default for RmsNormConfig {
    fn default() -> Self {
        Self { eps: 1e-6 }
    }
}

/// RMSNorm with a weight `[M]`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// w, `[M]`.
    weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl Variant for RmsNorm {
    type Config = RmsNormConfig;
    const CARD: Card = Card::new("rms", "1910.07467");

    fn check(config: &RmsNormConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_eps(config.eps, path)
    }

    fn init(config: &RmsNormConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { weight: init.constant([build.hidden], 1.0), eps: config.eps }
    }
}

impl Normalization for RmsNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        rms_norm(x, self.weight.val(), self.eps)
    }
}
