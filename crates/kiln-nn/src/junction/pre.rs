//! The pre-norm junction: x + f(norm(x)) (2002.04745).

use super::{Inner, Join};
use crate::{
    cx::Cx,
    init::Init,
    norm::{Norm, NormConfig},
    variant::{Around, Card, Causality, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Pre`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PreConfig {
    /// The norm.
    pub norm: NormConfig,
}

/// x + f(norm(x)) (2002.04745).
#[derive(Module, Debug)]
pub struct Pre {
    norm: Norm,
}

impl Variant for Pre {
    type Config = PreConfig;
    const CARD: Card = Card {
        name: "pre",
        role: "",
        paper: "2002.04745",
        causality: Causality::Any,
        state: "none",
        time: "T",
        refuses: "",
    };

    fn check(config: &PreConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        config.norm.check(around, &format!("{path}.norm"))
    }

    fn init(config: &PreConfig, around: &Around, init: &mut Init) -> Self {
        Self { norm: config.norm.init(around, init) }
    }
}

impl Join for Pre {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        x.clone() + inner(self.norm.forward(x), cx)
    }
}
