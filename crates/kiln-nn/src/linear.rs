//! Linear map y = x W + b, with a weight that may be quantized or of 16-bit floats, and adapters that may change it.
//!
//! Parameters: `weight [in, out]`, `bias [out]` (optional), and those of the adapters under their names (`lora.a`). The weight is
//! initialized normal with standard deviation 1/√in, the bias with 0. Cost: 2 · in · out operations per token, plus the
//! adapters'.

use crate::{
    adapter::{Site, SiteAdapters},
    arithmetic::{packed_product, product},
    context::Context,
    init::Initializer,
    packed_weight::{PackedWeight, WeightView},
};
use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, module::linear},
};
use kiln_kernels::exact::Arithmetic;

/// Linear map `[…, in] → […, out]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// Weight W, `[in, out]`, without values of its own if it is packed: see [`crate::packed_weight`].
    pub weight: Param<Tensor<2>>,
    /// Bias b, `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Packed form of the weight (quantized), if it was loaded packed.
    #[module(skip)]
    packed: Option<PackedWeight>,
    adapters: SiteAdapters,
}

impl Linear {
    /// Returns a map with a normal weight of standard deviation 1/√in, and bias 0, under `name`.
    pub fn new(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new_scaled(name, [from, to], bias, 1.0, init)
    }

    /// Returns the last map of a residual branch: the standard deviation is multiplied by
    /// [`Initializer::residual_scale`], so that the residual stream doesn't grow with depth.
    pub fn new_residual(name: &str, [from, to]: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new_scaled(name, [from, to], bias, init.residual_scale, init)
    }

    /// A map whose weight has standard deviation scale / √in.
    fn new_scaled(name: &str, [from, to]: [usize; 2], bias: bool, scale: f64, init: &mut Initializer) -> Self {
        let std = scale / (from as f64).sqrt();
        init.scope(name, |init| {
            let adapters = init.make_adapters(Site::Linear([from, to]));
            let (weight, packed) = init.packable_matrix("weight", [from, to], std, true);
            Self { weight, packed, bias: bias.then(|| init.constant([to], 0.0)), adapters }
        })
    }

    /// Linear map with its adapters, `[…, in] → […, out]`. Dropout of adapters takes its random numbers from `cx`.
    pub fn forward_with<const D: usize>(&self, x: Tensor<D>, cx: &Context) -> Tensor<D> {
        self.forward_adapted(x, Some(cx), cx.arithmetic)
    }

    /// Linear map without its bias, and the bias, for a caller whose kernel adds it in its own pass. With an active adapter the
    /// bias is in the output already, and `None`.
    pub fn forward_without_bias<const D: usize>(&self, x: Tensor<D>, cx: &Context) -> (Tensor<D>, Option<Tensor<1>>) {
        if self.adapters.is_active() {
            return (self.forward_with(x, cx), None);
        }
        (self.product(x, cx.arithmetic), self.bias.as_ref().map(Param::val))
    }

    /// Product by one of Kiln's kernels: with a weight that is packed or of 16-bit floats, or in exact arithmetic. `None`
    /// otherwise.
    fn kernel_product<const D: usize>(&self, x: Tensor<D>, arithmetic: Arithmetic) -> Option<Tensor<D>> {
        let weight = self.matrix();
        match weight.packed() {
            Some(packed) => Some(packed_product(x, packed, arithmetic)),
            None if weight.is_half() || arithmetic.is_exact() => Some(product(x, self.weight.val(), arithmetic)),
            None => None,
        }
    }

    /// Returns weight and bias if the map is x W + b with a weight of floats: neither packed nor of 16 bits nor changed by adapters.
    pub fn as_floats(&self) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let matrix = self.matrix();
        let is_plain = !self.adapters.is_active() && matrix.packed().is_none() && !matrix.is_half();
        is_plain.then(|| (self.weight.val(), self.bias.as_ref().map(Param::val)))
    }

    /// Linear map with its adapters, `[…, in] → […, out]`, without a context: no dropout. For heads.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_in(x, Arithmetic::Fast)
    }

    /// [`forward`](Self::forward) in the given arithmetic.
    pub fn forward_in<const D: usize>(&self, x: Tensor<D>, arithmetic: Arithmetic) -> Tensor<D> {
        self.forward_adapted(x, None, arithmetic)
    }

    /// Linear map without adapters, `[…, in] → […, out]`. A weight that is packed or of 16-bit floats is multiplied without
    /// being converted as a whole.
    pub fn forward_base<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_base_in(x, Arithmetic::Fast)
    }

    /// [`forward_base`](Self::forward_base) in the given arithmetic.
    pub(crate) fn forward_base_in<const D: usize>(&self, x: Tensor<D>, arithmetic: Arithmetic) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        match (self.kernel_product(x.clone(), arithmetic), bias) {
            (None, bias) => linear(x, self.weight.val(), bias),
            (Some(y), Some(bias)) => y + bias.unsqueeze(),
            (Some(y), None) => y,
        }
    }

    /// Product x W without bias and adapters, `[…, in] → […, out]`.
    pub(crate) fn product<const D: usize>(&self, x: Tensor<D>, arithmetic: Arithmetic) -> Tensor<D> {
        self.kernel_product(x.clone(), arithmetic).unwrap_or_else(|| linear(x, self.weight.val(), None))
    }

    /// Linear map with the adapters that are switched on.
    fn forward_adapted<const D: usize>(&self, x: Tensor<D>, cx: Option<&Context>, arithmetic: Arithmetic) -> Tensor<D> {
        if self.adapters.is_active() {
            self.adapters.linear(x, self, cx, arithmetic)
        } else {
            self.forward_base_in(x, arithmetic)
        }
    }

    /// Returns the shape `[in, out]`.
    pub fn size(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
    }

    /// Whether fused CPU kernels support its output, which is f32 for a weight that is packed, or of 16 or 32 bits on the CPU.
    pub fn has_cpu_kernel(&self) -> bool {
        let weight = self.matrix();
        let is_on_cpu = || self.weight.lazy_device() == Device::flex();
        weight.packed().is_some()
            || weight.is_half() && is_on_cpu()
            || kiln_kernels::cpu::is_cpu_f32(&self.weight.val())
    }

    /// The weight, packed or not.
    pub(crate) fn matrix(&self) -> WeightView<'_> {
        WeightView::new(&self.weight, self.packed.as_ref())
    }

    /// Returns the floating-point operations per token: 2 · in · out, plus the adapters'.
    pub fn flops(&self) -> f64 {
        2.0 * self.weight.lazy_shape().num_elements() as f64 + self.adapters.flops()
    }
}
