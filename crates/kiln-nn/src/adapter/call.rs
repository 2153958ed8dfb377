//! What an adapter sees when its site is computed.

use crate::{arithmetic::product, context::Context, linear::Linear, packed_weight::WeightView};
use burn::tensor::{Int, Tensor};
use kiln_kernels::exact::Arithmetic;

/// One call of a linear map.
#[derive(Clone, Copy)]
pub struct LinearCall<'a, const D: usize> {
    /// Input, `[…, in]`.
    pub x: &'a Tensor<D>,
    /// Output of the map without adapters, bias included, `[…, out]`.
    pub y: &'a Tensor<D>,
    /// The map.
    pub base: &'a Linear,
    /// Number w that the adapter's output is multiplied by. The site applies factors of single tokens afterward.
    pub weight: f64,
    /// Source of the random numbers of dropout; `None` in heads, which have no dropout.
    pub cx: Option<&'a Context>,
    /// Arithmetic of the call.
    pub arithmetic: Arithmetic,
}

impl<const D: usize> LinearCall<'_, D> {
    /// Returns the product x A B of an input with two matrices, in the arithmetic of the call.
    pub fn product(&self, x: Tensor<D>, [a, b]: [Tensor<2>; 2]) -> Tensor<D> {
        product(product(x, a, self.arithmetic), b, self.arithmetic)
    }

    /// Returns the input after dropout with the random numbers of `path`: in training only.
    pub fn dropped(&self, path: &str, rate: f64) -> Tensor<D> {
        match self.cx {
            Some(cx) => cx.dropout_named(path, rate, self.x.clone()),
            None => self.x.clone(),
        }
    }

    /// Whether dropout of this rate is applied in this call.
    pub fn has_dropout(&self, rate: f64) -> bool {
        rate > 0.0 && self.cx.is_some_and(|cx| cx.rng_key.is_some())
    }
}

/// One lookup of token embeddings.
#[derive(Clone, Copy)]
pub struct EmbeddingCall<'a> {
    /// Token ids, `[B, T]`.
    pub ids: &'a Tensor<2, Int>,
    /// Their rows of the embedding, `[B, T, M]`.
    pub y: &'a Tensor<3>,
    /// The embedding, `[V, M]`.
    pub table: WeightView<'a>,
    /// Number w that the adapter's output is multiplied by. The site applies factors of single tokens afterward.
    pub weight: f64,
    /// Arithmetic of the call.
    pub arithmetic: Arithmetic,
}

/// One call of stacked maps.
#[derive(Clone, Copy)]
pub struct StackedCall<'a> {
    /// Inputs, `[R, in]`.
    pub x: &'a Tensor<2>,
    /// The expert of each row, `[R]`.
    pub expert: &'a Tensor<1, Int>,
    /// Number w that the adapter's output is multiplied by. The site applies factors of single tokens afterward.
    pub weight: f64,
    /// Arithmetic of the call.
    pub arithmetic: Arithmetic,
}
