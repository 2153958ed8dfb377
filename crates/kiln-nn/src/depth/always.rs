//! Default depth rule: the block runs for every token.

use super::{DepthNeeds, DepthRule, TokenCoverage};
use crate::{
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::config::NoOptions;

/// Depth rule that always runs the block. No parameters, no cost.
#[derive(Module, Debug)]
pub struct Always {}

impl Variant for Always {
    type Config = NoOptions;
    const CARD: Card = Card { time: "1", ..Card::new("always", "1706.03762") };

    fn init(_config: &NoOptions, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self {}
    }
}

impl DepthNeeds for NoOptions {
    fn token_coverage(&self) -> TokenCoverage {
        TokenCoverage::All
    }
}

impl DepthRule for Always {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, block: SublayerFn) -> Tensor<3> {
        block(x, cx)
    }
}
