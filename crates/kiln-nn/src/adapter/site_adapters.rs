//! The adapters of one site, and what the site computes with them: base + Σ wᵢ · adapterᵢ.

use super::{AnyAdapter, EmbeddingCall, LinearCall, StackedCall, factor::Factor};
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
    /// Name of each adapter.
    #[module(skip)]
    names: Vec<String>,
    /// Path of the site.
    #[module(skip)]
    site: String,
}

impl SiteAdapters {
    /// Returns the adapters of a site, each with its name and its factor. An adapter of factor 0 is not computed.
    pub(crate) fn new(site: String, adapters: Vec<(AnyAdapter, String, f64)>) -> Self {
        let mut all = Self { site, ..Self::default() };
        for (adapter, name, weight) in adapters {
            all.list.push(adapter);
            all.names.push(name);
            all.weights.push(weight);
        }
        all
    }

    /// Whether an adapter changes the output of the site.
    pub fn is_active(&self) -> bool {
        self.active().next().is_some()
    }

    /// The adapters that are switched on, with their names and numbers.
    fn active(&self) -> impl Iterator<Item = (&AnyAdapter, &str, f64)> {
        let all = self.list.iter().zip(&self.names).zip(self.weights.iter().copied());
        all.map(|((adapter, name), weight)| (adapter, name.as_str(), weight)).filter(|(.., weight)| *weight != 0.0)
    }

    /// The adapters that are switched on, with their factors in a call with `rows` rows.
    fn with_factors(&self, cx: Option<&Context>, rows: usize) -> impl Iterator<Item = (&AnyAdapter, Factor)> {
        let factors = cx.and_then(|cx| cx.token_factors.as_ref());
        self.active()
            .map(move |(adapter, name, weight)| (adapter, Factor::new(weight, factors, &self.site, name, rows)))
    }

    /// The factors of the inputs, `[…, in]`: 1 + Σ wᵢ (lᵢ − 1) over the adapters that scale inputs; `None` if none does.
    fn input_scale<const D: usize>(&self, cx: Option<&Context>, rows: usize, shape: [usize; D]) -> Option<Tensor<D>> {
        let mut scales = self.with_factors(cx, rows).filter_map(|(adapter, factor)| {
            let scale: Tensor<D> = adapter.input_scale()?.unsqueeze();
            Some((scale, factor))
        });
        let (first, factor) = scales.next()?;
        let weighted = |scale: Tensor<D>, factor: &Factor| {
            let change = (scale - 1.0) * factor.number;
            factor.apply_to_rows(if factor.has_rows() { change.expand(shape) } else { change })
        };
        // The factors of one adapter of weight 1 stay the same bits.
        let first = if factor.is_one() { first } else { weighted(first, &factor) + 1.0 };
        Some(scales.fold(first, |sum, (scale, factor)| sum + weighted(scale, &factor)))
    }

    /// Output of the linear map `base` with its adapters, `[…, in] → […, out]`.
    pub(crate) fn linear<const D: usize>(
        &self,
        x: Tensor<D>,
        base: &Linear,
        cx: Option<&Context>,
        arithmetic: Arithmetic,
    ) -> Tensor<D> {
        let rows = x.dims()[..D - 1].iter().product();
        let scale = self.input_scale(cx, rows, x.dims());
        let is_scaled = scale.is_some();
        let input = scale.map_or_else(|| x.clone(), |scale| x.clone() * scale);
        let mut out = base.forward_base_in(input, arithmetic);
        let mut unscaled = (!is_scaled).then(|| out.clone());
        for (adapter, factor) in self.with_factors(cx, rows).filter(|(adapter, _)| adapter.input_scale().is_none()) {
            let y = unscaled.get_or_insert_with(|| base.forward_base_in(x.clone(), arithmetic));
            let call = LinearCall { x: &x, y, base, weight: factor.number, cx, arithmetic };
            if let Some(change) = adapter.linear(&call) {
                out = out + factor.apply_to_rows(change);
            }
        }
        out
    }

    /// Embeddings with the adapters: `y [B, T, M]` are the rows `ids [B, T]` of `table [V, M]`.
    pub fn embedding(&self, ids: &Tensor<2, Int>, y: Tensor<3>, table: WeightView, cx: &Context) -> Tensor<3> {
        let (rows, arithmetic) = (ids.shape().num_elements(), cx.arithmetic);
        let changes = self.with_factors(Some(cx), rows).filter_map(|(adapter, factor)| {
            let call = EmbeddingCall { ids, y: &y, table, weight: factor.number, arithmetic };
            Some(factor.apply_to_rows(adapter.embedding(&call)?))
        });
        changes.fold(y.clone(), |sum, change| sum + change)
    }

    /// Output of stacked maps with their adapters: `x [R, in]`, `expert [R]`, `y [R, out]` that of the maps alone.
    pub(crate) fn stacked(&self, x: &Tensor<2>, expert: &Tensor<1, Int>, y: Tensor<2>, cx: &Context) -> Tensor<2> {
        let changes = self.with_factors(Some(cx), x.dims()[0]).filter_map(|(adapter, factor)| {
            let call = StackedCall { x, expert, weight: factor.number, arithmetic: cx.arithmetic };
            Some(factor.apply_to_rows(adapter.stacked(&call)?))
        });
        changes.fold(y, |y, change| y + change)
    }

    /// Virtual tokens of the site, `[n, M]`, those of each adapter after the other; `None` if there are none.
    pub fn tokens(&self) -> Option<Tensor<2>> {
        let tokens: Vec<Tensor<2>> =
            self.active().filter_map(|(adapter, _, weight)| Some(adapter.tokens()? * weight)).collect();
        (!tokens.is_empty()).then(|| Tensor::cat(tokens, 0))
    }

    /// Number of virtual tokens of the site.
    pub fn num_tokens(&self) -> usize {
        self.active().map(|(adapter, ..)| adapter.num_tokens()).sum()
    }

    /// Returns the floating-point operations per token.
    pub(crate) fn flops(&self) -> f64 {
        self.active().map(|(adapter, ..)| adapter.flops()).sum()
    }
}
