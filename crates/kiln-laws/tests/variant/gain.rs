//! A gain for each channel: x ⊙ w.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_nn::{
    init::Init,
    norm::Normalize,
    variant::{Around, Card, Variant},
};
use kiln_spec::config::Nothing;

/// x ⊙ w.
#[derive(Module, Debug)]
pub struct Gain {
    weight: Param<Tensor<1>>,
}

impl Variant for Gain {
    type Config = Nothing;
    const CARD: Card = Card::new("gain", "2103.17239");

    fn init(_config: &Nothing, around: &Around, init: &mut Init) -> Self {
        Self { weight: init.constant([around.hidden], 1.0) }
    }
}

impl Normalize for Gain {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.weight.val().unsqueeze()
    }
}
