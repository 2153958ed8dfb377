//! No position: order is known only by who sees whom (NoPE, 2305.19466).

use super::PositionEncoding;
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::module::Module;
use kiln_spec::config::NoOptions;

/// No position.
#[derive(Module, Debug)]
pub struct NoPosition {}

impl Variant for NoPosition {
    type Config = NoOptions;
    const CARD: Card = Card { time: "0", ..Card::new("none", "2305.19466") };

    fn init(_config: &NoOptions, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self {}
    }
}

impl PositionEncoding for NoPosition {}
