//! Post-norm: norm(x + f(x)) (1706.03762, section 3.1). The first transformer and BERT.
//!
//! Each sublayer normalizes the residual stream, so the output of the last block is normalized already. Deep stacks need a
//! learning-rate warmup (2002.04745).

use super::{NormPlacement, NormPlacementConfig, SublayerFn, scale_branch};
use crate::{
    context::Context,
    init::Initializer,
    norm::Norm,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;

/// Post-norm junction. Parameters: those of the norm of width M.
#[derive(Module, Debug)]
pub struct PostNorm {
    /// Norm of the sum.
    norm: Norm,
    /// Factor of what is added to the residual stream.
    #[module(skip)]
    multiplier: f64,
}

impl Variant for PostNorm {
    type Config = NormPlacementConfig;
    const CARD: Card = Card::new("post", "1706.03762");

    fn check(config: &NormPlacementConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &NormPlacementConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { norm: config.norm.init(build, init), multiplier: config.residual_multiplier }
    }
}

impl NormPlacement for PostNorm {
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        scale_branch(sublayer(x, cx), self.multiplier)
    }

    fn after(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }
}
