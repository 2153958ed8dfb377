//! Dynamic tanh (DyT): w ⊙ tanh(α x) + b (2503.10622, algorithm 1). No statistics of x are computed.
//! Computed by the kernel [`dynamic_tanh`](kiln_kernels::dynamic_tanh).
//!
//! Parameters: `alpha [1]`, `weight [M]`, starting at 1, and `bias [M]`, starting at 0.
//!
//! As the last norm of a model it needs an untied head. With a tied head its bias adds one vector to all hidden states, which
//! pulls the embeddings of frequent tokens toward it; a small model then learns little but token frequencies.

use super::Normalization;
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::dynamic_tanh::dynamic_tanh;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`DynamicTanh`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicTanhConfig {
    /// Initial value of α, the slope of tanh(α x) at 0. The paper scales the embeddings by √hidden; in Kiln they are
    /// not scaled by default, and a larger initial value trains faster.
    pub alpha_init: f64,
}

impl Default for DynamicTanhConfig {
    fn default() -> Self {
        Self { alpha_init: 0.5 }
    }
}

/// Dynamic tanh, in place of a norm.
#[derive(Module, Debug)]
pub struct DynamicTanh {
    /// α, `[1]`.
    alpha: Param<Tensor<1>>,
    /// w, `[M]`.
    weight: Param<Tensor<1>>,
    /// b, `[M]`.
    bias: Param<Tensor<1>>,
}

impl Variant for DynamicTanh {
    type Config = DynamicTanhConfig;
    const CARD: Card =
        Card { example: "{ dynamic_tanh = { alpha_init = 2.0 } }", ..Card::new("dynamic_tanh", "2503.10622") };

    fn check(config: &DynamicTanhConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if config.alpha_init > 0.0 && config.alpha_init.is_finite() {
            return Ok(());
        }
        let reason = format!("the initial α must be a finite number above 0, found {}", config.alpha_init);
        Err(ValidationError::new(format!("{path}.alpha_init"), reason).with_suggestion("alpha_init = 0.5"))
    }

    fn init(config: &DynamicTanhConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self {
            alpha: init.constant([1], config.alpha_init as f32),
            weight: init.constant([build.hidden], 1.0),
            bias: init.constant([build.hidden], 0.0),
        }
    }
}

impl Normalization for DynamicTanh {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        dynamic_tanh(x, self.alpha.val(), self.weight.val(), self.bias.val())
    }

    fn forward_groups(&self, x: Tensor<3>, _groups: usize) -> Tensor<3> {
        // Element by element: groups have nothing in common.
        self.forward(x)
    }
}
