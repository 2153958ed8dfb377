//! Pre-norm: x + f(norm(x)) (2002.04745, figure 1b). The default of GPT-2 and its successors.
//!
//! The residual stream itself is never normalized, so gradients reach the first block unscaled and training needs no long
//! warmup. A model with pre-norm has a norm before its head.

use super::{NormPlacement, NormPlacementConfig, SublayerFn, scale_branch};
use crate::{
    context::Context,
    init::Initializer,
    norm::Norm,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;

/// Pre-norm junction. Parameters: those of the norm of width M.
#[derive(Module, Debug)]
pub struct PreNorm {
    /// Norm of the sublayer's input.
    norm: Norm,
    /// Factor of what is added to the residual stream.
    #[module(skip)]
    multiplier: f64,
}

impl Variant for PreNorm {
    type Config = NormPlacementConfig;
    const CARD: Card = Card::new("pre", "2002.04745");

    fn check(config: &NormPlacementConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &NormPlacementConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { norm: config.norm.init(build, init), multiplier: config.residual_multiplier }
    }
}

impl NormPlacement for PreNorm {
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        scale_branch(sublayer(self.norm.forward(x), cx), self.multiplier)
    }
}
