//! The pre-norm junction: x + f(norm(x)) (2002.04745).

use super::{Inner, Join, NormedConfig};
use crate::{
    cx::Cx,
    init::Init,
    norm::Norm,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;

/// x + f(norm(x)) (2002.04745).
#[derive(Module, Debug)]
pub struct Pre {
    norm: Norm,
}

impl Variant for Pre {
    type Config = NormedConfig;
    const CARD: Card = Card::new("pre", "2002.04745");

    fn check(config: &NormedConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        config.norm.check(around, &format!("{path}.norm"))
    }

    fn init(config: &NormedConfig, around: &Around, init: &mut Init) -> Self {
        Self { norm: config.norm.init(around, init) }
    }
}

impl Join for Pre {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        x.clone() + inner(self.norm.forward(x), cx)
    }
}
