//! The post-norm junction: norm(x + f(x)) (1706.03762).

use super::{Inner, Join, NormedConfig};
use crate::{
    cx::Cx,
    init::Init,
    norm::Norm,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;

/// norm(x + f(x)) (1706.03762).
#[derive(Module, Debug)]
pub struct Post {
    norm: Norm,
}

impl Variant for Post {
    type Config = NormedConfig;
    const CARD: Card = Card::new("post", "1706.03762");

    fn check(config: &NormedConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        config.norm.check(around, &format!("{path}.norm"))
    }

    fn init(config: &NormedConfig, around: &Around, init: &mut Init) -> Self {
        Self { norm: config.norm.init(around, init) }
    }
}

impl Join for Post {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        self.norm.forward(x.clone() + inner(x, cx))
    }
}
