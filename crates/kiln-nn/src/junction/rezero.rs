//! The ReZero junction: x + α f(x), without a norm; α is learned and starts at 0, so that a new model is the identity
//! whatever its depth (2003.04887).

use super::{Inner, Join};
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`ReZero`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ReZeroConfig {
    /// What α starts at. 0: the branch adds nothing until α has moved.
    pub start: f32,
}

/// x + α f(x) (2003.04887).
#[derive(Module, Debug)]
pub struct ReZero {
    /// α, `[1]`.
    scale: Param<Tensor<1>>,
}

impl Variant for ReZero {
    type Config = ReZeroConfig;
    const CARD: Card = Card::new("rezero", "2003.04887");

    fn check(config: &ReZeroConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if config.start.is_finite() {
            return Ok(());
        }
        let reason = format!("α must start at a finite number, found {}", config.start);
        Err(Refusal::new(format!("{path}.start"), reason).instead("start = 0.0"))
    }

    fn init(config: &ReZeroConfig, _around: &Around, init: &mut Init) -> Self {
        Self { scale: init.constant([1], config.start) }
    }
}

impl Join for ReZero {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        x.clone() + inner(x, cx) * self.scale.val().unsqueeze()
    }
}
