//! No position: order is known only by who sees whom (NoPE, 2305.19466).

use super::Positional;
use crate::{
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::module::Module;
use kiln_spec::config::Nothing;

/// No position.
#[derive(Module, Debug)]
pub struct NoPosition {}

impl Variant for NoPosition {
    type Config = Nothing;
    const CARD: Card = Card { time: "0", ..Card::new("none", "2305.19466") };

    fn init(_config: &Nothing, _around: &Around, _init: &mut Init) -> Self {
        Self {}
    }
}

impl Positional for NoPosition {}
