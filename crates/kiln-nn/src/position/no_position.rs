//! No position encoding (NoPE, 2305.19466): a causal model can infer the order from the mask, since each token sees only
//! those before it.

use super::{PositionEncoding, PositionNeeds};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::module::Module;
use kiln_spec::config::NoOptions;

/// No position encoding. No parameters.
#[derive(Module, Debug)]
pub struct NoPosition {}

impl Variant for NoPosition {
    type Config = NoOptions;
    const CARD: Card = Card { time: "0", ..Card::new("none", "2305.19466") };

    fn init(_config: &NoOptions, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self {}
    }
}

impl PositionNeeds for NoOptions {}

impl PositionEncoding for NoPosition {}
