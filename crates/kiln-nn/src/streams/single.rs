//! One residual stream: x + f(x) (1512.03385).

use super::StreamConnection;
use crate::{
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::config::NoOptions;

/// Residual connection of one stream. No parameters.
#[derive(Module, Debug)]
pub struct SingleStream {}

impl Variant for SingleStream {
    type Config = NoOptions;
    const CARD: Card = Card::new("single", "1512.03385");

    fn init(_config: &NoOptions, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self {}
    }
}

impl StreamConnection for SingleStream {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, branch: SublayerFn) -> Tensor<3> {
        x.clone() + branch(x, cx)
    }
}
