//! No normalization: the identity, for models whose junctions or initialization replace norms (Fixup, 1901.09321).

use super::Normalization;
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::config::NoOptions;

/// No normalization. No parameters, no cost.
#[derive(Module, Debug)]
pub struct NoNorm {}

impl Variant for NoNorm {
    type Config = NoOptions;
    const CARD: Card = Card { time: "0", ..Card::new("none", "1901.09321") };

    fn init(_config: &NoOptions, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self {}
    }
}

impl Normalization for NoNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x
    }

    fn forward_groups(&self, x: Tensor<3>, _groups: usize) -> Tensor<3> {
        x
    }
}
