//! No norm: x.

use super::Normalize;
use crate::{
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::config::Nothing;

/// No norm.
#[derive(Module, Debug)]
pub struct NoNorm {}

impl Variant for NoNorm {
    type Config = Nothing;
    const CARD: Card = Card { time: "0", ..Card::new("none", "1901.09321") };

    fn init(_config: &Nothing, _around: &Around, _init: &mut Init) -> Self {
        Self {}
    }
}

impl Normalize for NoNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x
    }
}
