//! Stacked matrices of all experts: one tensor `[E, in, out]` per linear map.
//!
//! Rows are multiplied with the matrix of their expert by the kernel [`kiln_kernels::grouped_linear`], or, where the stack is held packed
//! (quantized or of 16-bit floats), by [`kiln_kernels::packed::packed_grouped_linear`], which dequantizes tiles of the experts that have rows.

use super::{ExpertConfig, expert_intermediate};
use crate::{
    adapter::{Site, SiteAdapters},
    arithmetic::{grouped_product, packed_grouped_product},
    context::Context,
    init::Initializer,
    packed_weight::is_without_values,
    part::feed_forward::activation::Activation,
    variant::BuildContext,
};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};
use kiln_kernels::packed::PackedStack;

/// Linear map of each expert, stacked.
#[derive(Module, Debug)]
pub struct StackedLinear {
    /// Weights, `[E, in, out]`, normal with standard deviation scale / √in.
    weight: Param<Tensor<3>>,
    /// Packed form of the weights, if they were loaded packed: see [`crate::packed_weight`].
    #[module(skip)]
    packed: Option<PackedStack>,
    /// Biases, `[E, out]`.
    bias: Option<Param<Tensor<2>>>,
    adapters: SiteAdapters,
}

impl StackedLinear {
    /// Builds the maps `[E, in, out]` under `name`.
    fn new(name: &str, shape: [usize; 3], bias: bool, scale: f64, init: &mut Initializer) -> Self {
        let [experts, from, to] = shape;
        init.scope(name, |init| {
            let adapters = init.make_adapters(Site::Stacked(shape));
            let (weight, packed) = init.packable_stack("weight", shape, scale / (from as f64).sqrt());
            Self { weight, packed, bias: bias.then(|| init.constant([experts, to], 0.0)), adapters }
        })
    }

    /// Maps each row with its expert: `x [1, R, in]`, `expert [R] → [1, R, out]`.
    fn forward(&self, x: Tensor<3>, expert: &Tensor<1, Int>, cx: &Context) -> Tensor<3> {
        let x = x.squeeze_dim(0);
        let y = match self.packed.as_ref().filter(|_| is_without_values(&self.weight)) {
            Some(packed) => packed_grouped_product(x.clone(), packed, expert.clone(), cx.arithmetic),
            None => grouped_product(x.clone(), self.weight.val(), expert.clone(), cx.arithmetic),
        };
        let y = match &self.bias {
            Some(bias) => y + bias.val().select(0, expert.clone()),
            None => y,
        };
        self.adapters.stacked(&x, expert, y, cx).unsqueeze_dim(0)
    }

    /// Floating-point operations per row.
    fn flops(&self) -> f64 {
        let [_, from, to] = self.weight.lazy_shape().dims();
        2.0 * (from * to) as f64 + self.adapters.flops()
    }
}

/// Feed-forward networks of all experts, gated (2002.05202) or not (1706.03762).
///
/// Parameters: `gate.weight [E, M, N]` (gated only), `up.weight [E, M, N]`, `down.weight [E, N, M]`, and biases `[E, N]`, `[E, M]`
/// under `….bias`.
#[derive(Module, Debug)]
pub struct StackedExperts {
    /// `[E, M, N]`, for gated experts.
    gate: Option<StackedLinear>,
    /// `[E, M, N]`.
    up: StackedLinear,
    /// `[E, N, M]`.
    down: StackedLinear,
    #[module(skip)]
    activation: Activation,
}

impl StackedExperts {
    /// Builds `num_experts` experts of one architecture.
    pub fn init(config: &ExpertConfig, num_experts: usize, build: &BuildContext, init: &mut Initializer) -> Self {
        let (is_gated, activation, bias) = match config {
            ExpertConfig::GatedMlp(mlp) => (true, mlp.activation, mlp.bias),
            ExpertConfig::Mlp(mlp) => (false, mlp.activation, mlp.bias),
        };
        let hidden = build.hidden;
        let intermediate = expert_intermediate(config, build);
        let residual_scale = init.residual_scale;
        let mut map =
            |name, [from, to]: [usize; 2], scale| StackedLinear::new(name, [num_experts, from, to], bias, scale, init);
        Self {
            gate: is_gated.then(|| map("gate", [hidden, intermediate], 1.0)),
            up: map("up", [hidden, intermediate], 1.0),
            down: map("down", [intermediate, hidden], residual_scale),
            activation,
        }
    }

    /// Runs each row through its expert: `x [1, R, M]`, `expert [R] → [1, R, M]`.
    pub fn forward(&self, x: Tensor<3>, expert: &Tensor<1, Int>, cx: &Context) -> Tensor<3> {
        let up = self.up.forward(x.clone(), expert, cx);
        let activated = match &self.gate {
            Some(gate) => self.activation.apply_gated(gate.forward(x, expert, cx), up),
            None => self.activation.apply(up),
        };
        self.down.forward(activated, expert, cx)
    }

    /// Returns the floating-point operations of one expert per token.
    pub fn flops(&self) -> f64 {
        self.gate.iter().chain([&self.up, &self.down]).map(StackedLinear::flops).sum()
    }

    /// Returns the intermediate size N of an expert.
    pub fn intermediate(&self) -> usize {
        self.up.weight.lazy_shape().dims::<3>()[2]
    }
}
