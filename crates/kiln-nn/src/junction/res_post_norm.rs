//! Res-post-norm: x + norm(f(x)) (Swin Transformer V2, 2111.09883, section 3.2; OLMo 2, 2501.00656, section 3.1).
//!
//! The norm is inside the residual branch: it bounds what a sublayer adds, and the stream itself is never normalized. A
//! model with this junction has a norm before its head.

use super::{NormPlacement, NormPlacementConfig, SublayerFn, scale_branch};
use crate::{
    context::Context,
    init::Initializer,
    norm::Norm,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;

/// Res-post-norm junction. Parameters: those of the norm of width M.
#[derive(Module, Debug)]
pub struct ResPostNorm {
    /// Norm of the sublayer's output.
    norm: Norm,
    /// Factor of what is added to the residual stream.
    #[module(skip)]
    multiplier: f64,
}

impl Variant for ResPostNorm {
    type Config = NormPlacementConfig;
    const CARD: Card = Card::new("res_post", "2111.09883, 2501.00656");

    fn check(config: &NormPlacementConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &NormPlacementConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { norm: config.norm.init(build, init), multiplier: config.residual_multiplier }
    }
}

impl NormPlacement for ResPostNorm {
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        scale_branch(self.norm.forward(sublayer(x, cx)), self.multiplier)
    }
}
