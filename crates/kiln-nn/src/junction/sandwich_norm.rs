//! Sandwich norm: x + norm₂(f(norm₁(x))) (CogView, 2105.13290; Gemma 2, 2408.00118).
//!
//! The second norm bounds what a sublayer adds to the residual stream, which keeps f16 training from overflowing.

use super::{NormPlacement, NormPlacementConfig, SublayerFn, scale_branch};
use crate::{
    context::Context,
    init::Initializer,
    norm::Norm,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;

/// Sandwich junction: two norms of one kind with their own parameters, under `before` and `after`.
#[derive(Module, Debug)]
pub struct SandwichNorm {
    /// norm₁, of the sublayer's input.
    before: Norm,
    /// norm₂, of the sublayer's output.
    after: Norm,
    /// Factor of what is added to the residual stream.
    #[module(skip)]
    multiplier: f64,
}

impl Variant for SandwichNorm {
    type Config = NormPlacementConfig;
    const CARD: Card = Card::new("sandwich", "2105.13290, 2408.00118");

    fn check(config: &NormPlacementConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &NormPlacementConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let mut norm = |name| init.scope(name, |init| config.norm.init(build, init));
        Self { before: norm("before"), after: norm("after"), multiplier: config.residual_multiplier }
    }
}

impl NormPlacement for SandwichNorm {
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        scale_branch(self.after.forward(sublayer(self.before.forward(x), cx)), self.multiplier)
    }
}
