//! The experts' matrices, stacked.

use super::{ExpertConfig, expert_intermediate};
use crate::{init::Initializer, part::feed_forward::activation::Activation, variant::BuildContext};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};
use kiln_kernels::grouped_linear::grouped_linear;

/// A linear map an expert.
#[derive(Module, Debug)]
pub struct StackedLinear {
    /// `[E, in, out]`.
    weight: Param<Tensor<3>>,
    /// `[E, out]`.
    bias: Option<Param<Tensor<2>>>,
}

impl StackedLinear {
    fn new(name: &str, shape: [usize; 3], bias: bool, scale: f64, init: &mut Initializer) -> Self {
        let [experts, from, to] = shape;
        init.scope(name, |init| Self {
            weight: init.normal("weight", shape, scale / (from as f64).sqrt()),
            bias: bias.then(|| init.constant([experts, to], 0.0)),
        })
    }

    /// Each row by its expert: `x [1, R, in]`, `expert [R] → [1, R, out]`.
    fn forward(&self, x: Tensor<3>, expert: &Tensor<1, Int>) -> Tensor<3> {
        let y = grouped_linear(x.squeeze_dim(0), self.weight.val(), expert.clone());
        let y = match &self.bias {
            Some(bias) => y + bias.val().select(0, expert.clone()),
            None => y,
        };
        y.unsqueeze_dim(0)
    }

    fn flops(&self) -> f64 {
        let [_, from, to] = self.weight.shape().dims();
        2.0 * (from * to) as f64
    }
}

/// Feed-forwards side by side: gated ones (2002.05202) or plain ones (1706.03762).
#[derive(Module, Debug)]
pub struct StackedExperts {
    gate: Option<StackedLinear>,
    up: StackedLinear,
    down: StackedLinear,
    #[module(skip)]
    activation: Activation,
}

impl StackedExperts {
    /// Makes `experts` of one kind.
    pub fn init(config: &ExpertConfig, experts: usize, build: &BuildContext, init: &mut Initializer) -> Self {
        let (gated, activation, bias) = match config {
            ExpertConfig::GatedMlp(c) => (true, c.activation, c.bias),
            ExpertConfig::Mlp(c) => (false, c.activation, c.bias),
        };
        let (outer, inner, residual) = (build.hidden, expert_intermediate(config, build), init.residual_scale);
        let mut map =
            |name, [from, to]: [usize; 2], scale| StackedLinear::new(name, [experts, from, to], bias, scale, init);
        Self {
            gate: gated.then(|| map("gate", [outer, inner], 1.0)),
            up: map("up", [outer, inner], 1.0),
            down: map("down", [inner, outer], residual),
            activation,
        }
    }

    /// Each row by its expert: `x [1, R, M]`, `expert [R] → [1, R, M]`.
    pub fn forward(&self, x: Tensor<3>, expert: &Tensor<1, Int>) -> Tensor<3> {
        let up = self.up.forward(x.clone(), expert);
        let inner = match &self.gate {
            Some(gate) => self.activation.apply_gated(gate.forward(x, expert), up),
            None => self.activation.apply(up),
        };
        self.down.forward(inner, expert)
    }

    /// Multiplications and additions of one expert a token.
    pub fn flops(&self) -> f64 {
        self.gate.iter().chain([&self.up, &self.down]).map(StackedLinear::flops).sum()
    }

    /// Width inside an expert.
    pub fn intermediate(&self) -> usize {
        self.up.weight.dims()[2]
    }
}
