//! The pre-norm junction: x + f(norm(x)) (2002.04745).

use super::{NormPlacement, NormPlacementConfig, SublayerFn};
use crate::{
    context::Context,
    init::Initializer,
    norm::Norm,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;

/// x + f(norm(x)) (2002.04745).
#[derive(Module, Debug)]
pub struct PreNorm {
    norm: Norm,
}

impl Variant for PreNorm {
    type Config = NormPlacementConfig;
    const CARD: Card = Card::new("pre", "2002.04745");

    fn check(config: &NormPlacementConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.norm.check(build, &format!("{path}.norm"))
    }

    fn init(config: &NormPlacementConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { norm: config.norm.init(build, init) }
    }
}

impl NormPlacement for PreNorm {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, inner: SublayerFn) -> Tensor<3> {
        x.clone() + inner(self.norm.forward(x), cx)
    }
}
