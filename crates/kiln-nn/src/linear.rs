//! x W + b.

use crate::{
    adapter::AnyAdapter,
    context::Context,
    init::Initializer,
    packed_weight::{PackedWeight, WeightView},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::linear},
};
use kiln_kernels::packed::packed_linear;

/// A linear map; the weight is `[in, out]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What the weight is packed as, if it is.
    #[module(skip)]
    held: Option<PackedWeight>,
    /// What stands beside it.
    adapter: Option<AnyAdapter>,
    /// Whether the adapter acts.
    #[module(skip)]
    adapted: bool,
}

impl Linear {
    /// Normal with standard deviation 1/√in, and bias 0.
    pub fn new(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new_scaled(name, [from, to], bias, 1.0, init)
    }

    /// The last matrix of a residual branch: scaled down so that the stream doesn't grow with depth.
    pub fn new_residual(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new_scaled(name, [from, to], bias, init.residual_scale, init)
    }

    fn new_scaled(name: &str, [from, to]: [usize; 2], bias: bool, scale: f64, init: &mut Initializer) -> Self {
        let std = scale / (from as f64).sqrt();
        init.scope(name, |init| {
            let (adapter, adapted) = init.make_adapter([from, to]);
            let (weight, held) = init.packable_matrix("weight", [from, to], std, true);
            Self { weight, held, bias: bias.then(|| init.constant([to], 0.0)), adapter, adapted }
        })
    }

    /// `[…, in] → […, out]` in a call: what an adapter draws at random while training, it draws here.
    pub fn forward_with<const D: usize>(&self, x: Tensor<D>, cx: &Context) -> Tensor<D> {
        self.forward_adapted(x, Some(cx))
    }

    /// `[…, in] → […, out]` where there is no call: nothing is drawn.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_adapted(x, None)
    }

    /// Without its adapter, `[…, in] → […, out]`.
    pub fn forward_base<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        match self.matrix().packed() {
            Some(packed) => {
                let y = packed_linear(x, packed);
                bias.map_or(y.clone(), |bias| y + bias.unsqueeze())
            }
            None => linear(x, self.weight.val(), bias),
        }
    }

    fn forward_adapted<const D: usize>(&self, x: Tensor<D>, cx: Option<&Context>) -> Tensor<D> {
        match self.adapter.as_ref().filter(|_| self.adapted) {
            Some(adapter) => adapter.forward(x, self, cx),
            None => self.forward_base(x),
        }
    }

    /// `[in, out]`.
    pub fn size(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
    }

    /// Whether fused CPU kernels take what it computes.
    pub fn has_cpu_kernel(&self) -> bool {
        self.matrix().packed().is_some() || kiln_kernels::cpu::is_cpu_f32(&self.weight.val())
    }

    fn matrix(&self) -> WeightView<'_> {
        WeightView::new(&self.weight, self.held.as_ref())
    }

    /// Multiplications and additions a token.
    pub fn flops(&self) -> f64 {
        let beside = self.adapter.as_ref().filter(|_| self.adapted).map_or(0.0, AnyAdapter::flops);
        2.0 * self.weight.lazy_shape().num_elements() as f64 + beside
    }
}
