//! ReZero: x + α f(x) with a trained scalar α and no norm (2003.04887).
//!
//! α starts at 0, so a new model of any depth is the identity, and a sublayer's weights get a gradient once α has moved.

use super::{NormPlacement, SublayerFn};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`ReZero`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ReZeroConfig {
    /// Initial value of α.
    pub alpha_init: f32,
}

/// ReZero junction.
#[derive(Module, Debug)]
pub struct ReZero {
    /// α, `[1]`, one for each sublayer.
    scale: Param<Tensor<1>>,
}

impl Variant for ReZero {
    type Config = ReZeroConfig;
    const CARD: Card = Card::new("rezero", "2003.04887");

    fn check(config: &ReZeroConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if config.alpha_init.is_finite() {
            return Ok(());
        }
        let reason = format!("the initial α must be a finite number, found {}", config.alpha_init);
        Err(ValidationError::new(format!("{path}.alpha_init"), reason).with_suggestion("alpha_init = 0.0"))
    }

    fn init(config: &ReZeroConfig, _build: &BuildContext, init: &mut Initializer) -> Self {
        Self { scale: init.constant([1], config.alpha_init) }
    }
}

impl NormPlacement for ReZero {
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        sublayer(x, cx) * self.scale.val().unsqueeze()
    }
}
