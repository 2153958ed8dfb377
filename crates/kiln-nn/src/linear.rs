//! x W + b.

use crate::{adapter::Adapter, cx::Cx, init::Init};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::linear},
};

/// A linear map; the weight is `[in, out]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What stands beside it.
    adapter: Option<Adapter>,
    /// Whether the adapter acts.
    #[module(skip)]
    adapted: bool,
}

impl Linear {
    /// Normal with standard deviation 1/√in, and bias 0.
    pub fn new(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Init) -> Self {
        Self::scaled(name, [from, to], bias, 1.0, init)
    }

    /// The last matrix of a residual branch: scaled down so that the stream doesn't grow with depth.
    pub fn residual(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Init) -> Self {
        Self::scaled(name, [from, to], bias, init.residual, init)
    }

    fn scaled(name: &str, [from, to]: [usize; 2], bias: bool, scale: f64, init: &mut Init) -> Self {
        let std = scale / (from as f64).sqrt();
        init.scope(name, |init| {
            let (adapter, adapted) = init.adapter([from, to]);
            Self {
                weight: init.normal("weight", [from, to], std),
                bias: bias.then(|| init.constant([to], 0.0)),
                adapter,
                adapted,
            }
        })
    }

    /// `[…, in] → […, out]` in a call: what an adapter draws at random while training, it draws here.
    pub fn forward_in<const D: usize>(&self, x: Tensor<D>, cx: &Cx) -> Tensor<D> {
        self.beside(x, Some(cx))
    }

    /// `[…, in] → […, out]` where there is no call: nothing is drawn.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.beside(x, None)
    }

    /// Without its adapter, `[…, in] → […, out]`.
    pub fn alone<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }

    fn beside<const D: usize>(&self, x: Tensor<D>, cx: Option<&Cx>) -> Tensor<D> {
        match self.adapter.as_ref().filter(|_| self.adapted) {
            Some(adapter) => adapter.forward(x, self, cx),
            None => self.alone(x),
        }
    }

    /// Multiplications and additions a token.
    pub fn flops(&self) -> f64 {
        let beside = self.adapter.as_ref().filter(|_| self.adapted).map_or(0.0, Adapter::flops);
        2.0 * self.weight.shape().num_elements() as f64 + beside
    }
}
