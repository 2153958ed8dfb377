//! Every block runs for every token.

use super::Deep;
use crate::{
    cx::Cx,
    init::Init,
    junction::Inner,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::config::Nothing;

/// The plain depth rule.
#[derive(Module, Debug)]
pub struct Always {}

impl Variant for Always {
    type Config = Nothing;
    const CARD: Card = Card { time: "1", ..Card::new("always", "1706.03762") };

    fn init(_config: &Nothing, _around: &Around, _init: &mut Init) -> Self {
        Self {}
    }
}

impl Deep for Always {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, block: Inner) -> Tensor<3> {
        block(x, cx)
    }
}
