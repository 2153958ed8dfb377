//! A gain for each channel: x ⊙ w.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_nn::{
    init::Initializer,
    norm::Normalization,
    variant::{BuildContext, Card, Variant},
};
use kiln_spec::config::NoOptions;

/// x ⊙ w.
#[derive(Module, Debug)]
pub struct Gain {
    weight: Param<Tensor<1>>,
}

impl Variant for Gain {
    type Config = NoOptions;
    const CARD: Card = Card::new("gain", "2103.17239");

    fn init(_config: &NoOptions, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { weight: init.constant([build.hidden], 1.0) }
    }
}

impl Normalization for Gain {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.weight.val().unsqueeze()
    }

    fn forward_groups(&self, x: Tensor<3>, _groups: usize) -> Tensor<3> {
        // Each value by itself: groups of values change nothing.
        self.forward(x)
    }
}
