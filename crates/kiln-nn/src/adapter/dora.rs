//! Weight-decomposed low-rank adaptation (DoRA): the columns of W + s A B scaled to a trained magnitude (2402.09353, eq. 5).
//!
//! y = x W' + b with W'_j = m_j · (W + s A B)_j / ‖(W + s A B)_j‖ for each output j. Parameters: `a [in, r]` and `b [r, out]` as
//! in LoRA, and `magnitude [out]`, which starts at ‖W_j‖. No gradient flows through the norm (section 4.3), as in `peft`.
//!
//! At an embedding `[V, M]`, `a [V, r]` and `b [r, M]` are as in LoRA, and the columns have V entries.
//!
//! W + s A B is never formed. With g = m / ‖W + s A B‖, the output changes by (g − 1) · x W + g · s · x A B, and
//! ‖W_j + s A B_j‖² = ‖W_j‖² + 2 s (Aᵀ W)_j · B_j + s² B_jᵀ (Aᵀ A) B_j needs the norms of W's columns and r of its products. So
//! a packed base stays packed. The norms of a frozen W are computed once. Cost: 2 r (in + out) operations per token, and
//! 2 r · in · out per call.

use super::{Adapter, EmbeddingCall, LinearCall, LoraConfig, LoraSpec, Site, SiteKind, column_squares::ColumnSquares};
use crate::{arithmetic::product, autograd_order::without_graph, init::Initializer, packed_weight::WeightView};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};

/// DoRA adapter: the matrices A and B, and the magnitude of each output.
#[derive(Module, Debug)]
pub struct Dora {
    /// A, `[in, r]`.
    pub a: Param<Tensor<2>>,
    /// B, `[r, out]`.
    pub b: Param<Tensor<2>>,
    /// Norms of the weight's columns, `[out]`.
    pub magnitude: Param<Tensor<1>>,
    /// ‖W_j‖² of the frozen weight.
    #[module(skip)]
    squares: ColumnSquares,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
    /// Path of the adapter, which keys the random numbers of its dropout.
    #[module(skip)]
    path: String,
}

impl Dora {
    /// What the adapter adds to the output `product` of the map W, from the output `low` of A B: (g − 1) · product + g · s · low.
    fn change<const D: usize>(&self, base: &WeightView, product: Tensor<D>, low: Tensor<D>, weight: f64) -> Tensor<D> {
        let (norms, magnitude) = (self.column_norms(base), self.magnitude.val());
        let norms = if magnitude.is_autodiff() { norms.autodiff() } else { norms };
        let gain = (magnitude / norms).unsqueeze::<D>();
        let change = product * (gain.clone() - 1.0) + low * gain * self.scale;
        if weight == 1.0 { change } else { change * weight }
    }

    /// Norms ‖W_j + s A B_j‖ of the columns, `[out]`, outside of the autodiff graph.
    fn column_norms(&self, base: &WeightView) -> Tensor<1> {
        let [a, b] = [&self.a, &self.b].map(|matrix| without_graph(matrix.val()));
        let cross = base.base_weight().product(a.clone().transpose()) * b.clone();
        let square = a.clone().transpose().matmul(a).matmul(b.clone()) * b;
        let change = (cross * (2.0 * self.scale) + square * self.scale.powi(2)).sum_dim(0).squeeze_dim(0);
        (self.squares.of(base) + change).sqrt()
    }
}

impl Adapter for Dora {
    type Config = LoraConfig;
    const TITLE: &'static str = "DoRA";
    const SITES: &'static [SiteKind] = &[SiteKind::Linear, SiteKind::Embedding];

    fn init(spec: &LoraSpec, site: &Site, init: &mut Initializer) -> Self {
        let [a, b] = spec.init_matrices(site, init);
        let [_, _, to] = site.map_shape();
        let magnitude = match init.base_weight() {
            Some(base) => init.value(base.column_squares().sqrt()),
            None => init.constant([to], 1.0),
        };
        let squares = ColumnSquares::default();
        Self { a, b, magnitude, squares, scale: spec.scale(), dropout: spec.dropout, path: init.path() }
    }

    fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
        let x = call.dropped(&self.path, self.dropout);
        let product = match &call.base.bias {
            _ if call.has_dropout(self.dropout) => call.base.product(x.clone(), call.arithmetic),
            Some(bias) => call.y.clone() - bias.val().unsqueeze(),
            None => call.y.clone(),
        };
        let low = call.product(x, [self.a.val(), self.b.val()]);
        Some(self.change(&call.base.matrix(), product, low, call.weight))
    }

    fn embedding(&self, call: &EmbeddingCall) -> Option<Tensor<3>> {
        let low = product(embedding(self.a.val(), call.ids.clone()), self.b.val(), call.arithmetic);
        Some(self.change(&call.table, call.y.clone(), low, call.weight))
    }

    fn weight_change(&self, weight: &Tensor<2>) -> Option<Tensor<2>> {
        let sum = weight.clone() + self.a.val().matmul(self.b.val()) * self.scale;
        let norms = sum.clone().square().sum_dim(0).sqrt();
        Some(sum * (self.magnitude.val().unsqueeze::<2>() / norms) - weight.clone())
    }

    fn flops(&self) -> f64 {
        2.0 * (self.a.lazy_shape().num_elements() + self.b.lazy_shape().num_elements()) as f64
    }
}
