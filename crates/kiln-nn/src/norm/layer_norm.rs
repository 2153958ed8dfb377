//! LayerNorm: (x − mean(x)) / √(var(x) + ε) ⊙ w + b (1607.06450, section 3).
//!
//! The variance is the biased one (divided by M). Parameters: `weight [M]`, starting at 1, and `bias [M]` (optional), starting
//! at 0. Kernel: [`kiln_kernels::layer_norm`].

use super::{Normalization, by_group};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::layer_norm::layer_norm;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LayerNorm`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LayerNormConfig {
    /// ε, added to the variance.
    pub eps: f64,
    /// Use a bias.
    pub bias: bool,
}

impl Default for LayerNormConfig {
    fn default() -> Self {
        Self { eps: 1e-5, bias: true }
    }
}

/// LayerNorm with a weight `[M]` and an optional bias `[M]`.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// w, `[M]`.
    weight: Param<Tensor<1>>,
    /// b, `[M]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
}

impl Variant for LayerNorm {
    type Config = LayerNormConfig;
    const CARD: Card = Card::new("layer", "1607.06450");

    fn check(config: &LayerNormConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_eps(config.eps, path)
    }

    fn init(config: &LayerNormConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let bias = config.bias.then(|| init.constant([build.hidden], 0.0));
        Self { weight: init.constant([build.hidden], 1.0), bias, eps: config.eps }
    }
}

impl Normalization for LayerNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        layer_norm(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.eps)
    }

    fn forward_groups(&self, x: Tensor<3>, groups: usize) -> Tensor<3> {
        let weight = self.weight.val();
        let ones = weight.clone().narrow(0, 0, x.dims()[2] / groups).ones_like();
        let y = by_group(x, groups, |x| layer_norm(x, ones, None, self.eps)) * weight.unsqueeze();
        self.bias.iter().fold(y, |y, bias| y + bias.val().unsqueeze())
    }
}
