//! The adapters of one site, and what the site computes with them: base + Σ wᵢ · adapterᵢ.

use super::{AnyAdapter, EmbeddingCall, LinearCall, StackedCall};
use crate::{context::Context, linear::Linear, packed_weight::WeightView};
use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use kiln_kernels::exact::Arithmetic;

/// Adapters of one site, in the order of attachment.
///
/// A module holds its own in a field `adapters`, and those of a site S that is no module in a field `S_adapters`; the paths of
/// their parameters are made from these names.
#[derive(Module, Debug, Default)]
pub struct SiteAdapters {
    list: Vec<AnyAdapter>,
    /// Factor wᵢ of each adapter; 0: switched off.
    #[module(skip)]
    weights: Vec<f64>,
}

impl SiteAdapters {
    /// Returns adapters with their factors. An adapter of factor 0 is not computed.
    pub(crate) fn new(adapters: Vec<(AnyAdapter, f64)>) -> Self {
        let (list, weights) = adapters.into_iter().unzip();
        Self { list, weights }
    }

    /// Whether an adapter changes the output of the site.
    pub fn is_active(&self) -> bool {
        self.active().next().is_some()
    }

    /// The adapters that are switched on, with their factors.
    fn active(&self) -> impl Iterator<Item = (&AnyAdapter, f64)> {
        self.list.iter().zip(self.weights.iter().copied()).filter(|(_, weight)| *weight != 0.0)
    }

    /// The factors of the inputs, `[in]`: 1 + Σ wᵢ (lᵢ − 1) over the adapters that scale inputs; `None` if none does.
    fn input_scale(&self) -> Option<Tensor<1>> {
        let mut scales = self.active().filter_map(|(adapter, weight)| Some((adapter.input_scale()?, weight)));
        let (first, weight) = scales.next()?;
        // The factors of one adapter of weight 1 stay the same bits.
        let first = if weight == 1.0 { first } else { (first - 1.0) * weight + 1.0 };
        Some(scales.fold(first, |sum, (scale, weight)| sum + (scale - 1.0) * weight))
    }

    /// Output of the linear map `base` with its adapters, `[…, in] → […, out]`.
    pub(crate) fn linear<const D: usize>(
        &self,
        x: Tensor<D>,
        base: &Linear,
        cx: Option<&Context>,
        arithmetic: Arithmetic,
    ) -> Tensor<D> {
        let scale = self.input_scale();
        let is_scaled = scale.is_some();
        let input = scale.map_or_else(|| x.clone(), |scale| x.clone() * scale.unsqueeze());
        let mut out = base.forward_base_in(input, arithmetic);
        let mut unscaled = (!is_scaled).then(|| out.clone());
        for (adapter, weight) in self.active().filter(|(adapter, _)| adapter.input_scale().is_none()) {
            let y = unscaled.get_or_insert_with(|| base.forward_base_in(x.clone(), arithmetic));
            if let Some(change) = adapter.linear(&LinearCall { x: &x, y, base, weight, cx, arithmetic }) {
                out = out + change;
            }
        }
        out
    }

    /// Embeddings with the adapters: `y [B, T, M]` are the rows `ids [B, T]` of `table [V, M]`.
    pub fn embedding(
        &self,
        ids: &Tensor<2, Int>,
        y: Tensor<3>,
        table: WeightView,
        arithmetic: Arithmetic,
    ) -> Tensor<3> {
        let call = |weight| EmbeddingCall { ids, y: &y, table, weight, arithmetic };
        let changes = self.active().filter_map(|(adapter, weight)| adapter.embedding(&call(weight)));
        changes.fold(y.clone(), |sum, change| sum + change)
    }

    /// Output of stacked maps with their adapters: `x [R, in]`, `expert [R]`, `y [R, out]` that of the maps alone.
    pub(crate) fn stacked(
        &self,
        x: &Tensor<2>,
        expert: &Tensor<1, Int>,
        y: Tensor<2>,
        arithmetic: Arithmetic,
    ) -> Tensor<2> {
        let call = |weight| StackedCall { x, expert, weight, arithmetic };
        self.active().filter_map(|(adapter, weight)| adapter.stacked(&call(weight))).fold(y, |y, change| y + change)
    }

    /// Virtual tokens of the site, `[n, M]`, those of each adapter after the other; `None` if there are none.
    pub fn tokens(&self) -> Option<Tensor<2>> {
        let tokens: Vec<Tensor<2>> =
            self.active().filter_map(|(adapter, weight)| Some(adapter.tokens()? * weight)).collect();
        (!tokens.is_empty()).then(|| Tensor::cat(tokens, 0))
    }

    /// Number of virtual tokens of the site.
    pub fn num_tokens(&self) -> usize {
        self.active().map(|(adapter, _)| adapter.num_tokens()).sum()
    }

    /// Returns the floating-point operations per token.
    pub(crate) fn flops(&self) -> f64 {
        self.active().map(|(adapter, _)| adapter.flops()).sum()
    }
}
