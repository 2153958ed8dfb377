//! The post-norm junction: norm(x + f(x)) (1706.03762).

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

/// Options of [`Post`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PostConfig {
    /// The norm.
    pub norm: NormConfig,
}

/// norm(x + f(x)) (1706.03762).
#[derive(Module, Debug)]
pub struct Post {
    norm: Norm,
}

impl Variant for Post {
    type Config = PostConfig;
    const CARD: Card = Card {
        name: "post",
        role: "",
        paper: "1706.03762",
        causality: Causality::Any,
        state: "none",
        time: "T",
        refuses: "",
    };

    fn check(config: &PostConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        config.norm.check(around, &format!("{path}.norm"))
    }

    fn init(config: &PostConfig, around: &Around, init: &mut Init) -> Self {
        Self { norm: config.norm.init(around, init) }
    }
}

impl Join for Post {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        self.norm.forward(x.clone() + inner(x, cx))
    }
}
