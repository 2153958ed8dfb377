//! RMSNorm: x / √(mean(x²) + ε) ⊙ w (1910.07467, eq. 4).
//!
//! No mean is subtracted and there is no bias. Parameters: `weight [M]`, starting at 1. With `unit_offset` (Gemma,
//! 2403.08295) the factor is 1 + w and w starts at 0, so that weight decay pulls the factor toward 1. Computed by the kernel
//! [`rms_norm`](kiln_kernels::rms_norm).

use super::{Normalization, by_group};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant, is_default},
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
    /// Multiply by 1 + w instead of w, with w = 0 at initialization (Gemma).
    #[serde(skip_serializing_if = "is_default")]
    pub unit_offset: bool,
}

impl Default for RmsNormConfig {
    fn default() -> Self {
        Self { eps: 1e-6, unit_offset: false }
    }
}

/// RMSNorm with a weight `[M]`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// w, `[M]`.
    weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
    /// Whether the factor is 1 + w instead of w.
    #[module(skip)]
    unit_offset: bool,
}

impl Variant for RmsNorm {
    type Config = RmsNormConfig;
    const CARD: Card = Card::new("rms", "1910.07467, 2403.08295");

    fn check(config: &RmsNormConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_eps(config.eps, path)
    }

    fn init(config: &RmsNormConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let start = if config.unit_offset { 0.0 } else { 1.0 };
        Self { weight: init.constant([build.hidden], start), eps: config.eps, unit_offset: config.unit_offset }
    }
}

impl Normalization for RmsNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        rms_norm(x, self.factor(), self.eps)
    }

    fn forward_groups(&self, x: Tensor<3>, groups: usize) -> Tensor<3> {
        let factor = self.factor();
        let ones = factor.clone().narrow(0, 0, x.dims()[2] / groups).ones_like();
        by_group(x, groups, |x| rms_norm(x, ones, self.eps)) * factor.unsqueeze()
    }
}

impl RmsNorm {
    /// What the normalized vector is multiplied by: w, or 1 + w with `unit_offset`.
    fn factor(&self) -> Tensor<1> {
        let weight = self.weight.val();
        if self.unit_offset { weight + 1.0 } else { weight }
    }
}
