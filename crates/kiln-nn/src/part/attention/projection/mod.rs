//! How queries, keys and values are made and merged.

mod heads;
mod latent;

pub(crate) use heads::split_heads;
pub use heads::{MultiHeadProjection, MultiHeadProjectionConfig};
pub use latent::{LatentProjection, LatentProjectionConfig};

use crate::context::Context;
use burn::tensor::Tensor;

/// What is kept of each token: tensors `[B, G, T, width]`, joined along T.
pub type KeyValue = Vec<Tensor<4>>;

crate::variants! {
    /// Projections of queries, keys, values and output.
    AnyProjection, ProjectionConfig: dyn Projection {
        /// Multi-head, grouped-query or multi-query attention (1706.03762, 2305.13245, 1911.02150).
        "heads" => Heads(MultiHeadProjection),
        /// Multi-head latent attention (MLA, 2405.04434): keys and values are computed from one latent per token.
        "latent" => Latent(LatentProjection),
    }
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self::Heads(MultiHeadProjectionConfig::default())
    }
}

impl ProjectionConfig {
    /// Query heads.
    pub fn heads(&self) -> usize {
        match self {
            Self::Heads(c) => c.heads,
            Self::Latent(c) => c.heads,
        }
    }
}

/// Turns queries and keys by their positions.
pub type RotateFn<'a> = &'a mut dyn FnMut(Tensor<4>, &mut Context) -> Tensor<4>;

/// What a kernel is given.
#[derive(Clone, Debug)]
pub struct QueryKeyValue {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// What the query is multiplied by.
    pub scale: f64,
    /// What is merged afterwards.
    pub latent_form: LatentForm,
}

impl QueryKeyValue {
    /// Takes the first `length` keys out.
    pub(super) fn split_off_keys(&mut self, length: usize) -> Self {
        let part = |x: &Tensor<4>, from: usize, length: usize| x.clone().narrow(2, from, length);
        let rest = self.key.dims()[2] - length;
        let first = Self { key: part(&self.key, 0, length), value: part(&self.value, 0, length), ..self.clone() };
        (self.key, self.value) = (part(&self.key, length, rest), part(&self.value, length, rest));
        first
    }
}

/// What the values of a call are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LatentForm {
    /// Values of heads.
    #[default]
    Expanded,
    /// Latents that heads share: values are made of the output.
    Absorbed,
}

/// How queries, keys and values are made and merged.
pub trait Projection {
    /// What is kept of each token, with positions in it.
    fn project_key_value(&self, x: Tensor<3>, cx: &mut Context, rotate: RotateFn) -> KeyValue;

    /// Queries of this call against all entries.
    fn project_query(&self, x: Tensor<3>, entries: KeyValue, cx: &mut Context, rotate: RotateFn) -> QueryKeyValue;

    /// `[B, H, T, E] → [B, T, M]`, of values in the form that was read.
    fn project_output(&self, out: Tensor<4>, form: LatentForm, cx: &Context) -> Tensor<3>;

    /// Heads and width of each tensor that is kept of a token.
    fn key_value_shapes(&self) -> Vec<[usize; 2]>;

    /// Whether its weights are where fused CPU kernels work.
    fn has_cpu_kernel(&self) -> bool;

    /// Multiplications and additions: a token, and a token and key.
    fn flops(&self) -> (f64, f64);

    /// A few words for people.
    fn describe(&self) -> String;
}
