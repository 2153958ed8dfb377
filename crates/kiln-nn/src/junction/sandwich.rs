//! The sandwich junction: x + norm(f(norm(x))) (CogView, 2105.13290; Gemma 2, 2408.00118). The second norm
//! bounds what a branch may add to the stream.

use super::{Inner, Join, NormedConfig};
use crate::{
    cx::Cx,
    init::Init,
    norm::Norm,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;

/// x + norm(f(norm(x))) (2105.13290): two norms of one kind, each with its own weights.
#[derive(Module, Debug)]
pub struct Sandwich {
    before: Norm,
    after: Norm,
}

impl Variant for Sandwich {
    type Config = NormedConfig;
    const CARD: Card = Card::new("sandwich", "2105.13290, 2408.00118");

    fn check(config: &NormedConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        config.norm.check(around, &format!("{path}.norm"))
    }

    fn init(config: &NormedConfig, around: &Around, init: &mut Init) -> Self {
        let mut norm = |name| init.scope(name, |init| config.norm.init(around, init));
        Self { before: norm("before"), after: norm("after") }
    }
}

impl Join for Sandwich {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3> {
        x.clone() + self.after.forward(inner(self.before.forward(x), cx))
    }
}
