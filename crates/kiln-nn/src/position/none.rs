//! No position: order is known only by who sees whom (NoPE, 2305.19466).

use super::Positional;
use crate::{
    init::Init,
    variant::{Around, Card, Causality, Variant},
};
use burn::module::Module;
use kiln_spec::config::Nothing;

/// No position.
#[derive(Module, Debug)]
pub struct NoPosition {}

impl Variant for NoPosition {
    type Config = Nothing;
    const CARD: Card = Card {
        name: "none",
        role: "",
        paper: "2305.19466",
        causality: Causality::Any,
        state: "none",
        time: "0",
        refuses: "",
    };

    fn init(_config: &Nothing, _around: &Around, _init: &mut Init) -> Self {
        Self {}
    }
}

impl Positional for NoPosition {}
