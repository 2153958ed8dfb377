//! Projections: from hidden states to queries, keys and values, and from the heads' outputs back.
//!
//! | projection | cached per token | parameters | paper |
//! |---|---|---|---|
//! | multi-head, grouped-query, multi-query | 2 G D | `q`, `k`, `v`, `o` | 1706.03762, 2305.13245, 1911.02150 |
//! | latent (MLA) | rank + rotary width | `q`, `kv_down`, `kv_norm`, `k_rope`, `k`, `v`, `o`, … | 2405.04434 |

mod heads;
mod latent;
mod qk_norm;

pub(crate) use heads::split_heads;
pub use heads::{MultiHeadProjection, MultiHeadProjectionConfig};
pub use latent::{LatentProjection, LatentProjectionConfig};
pub use qk_norm::{QueryKeyNormConfig, QueryKeyNormScope};

use crate::{context::Context, position::Side};
use burn::tensor::Tensor;

/// What is cached of each token: tensors `[B, G, T, width]`, concatenated along T from call to call.
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
    /// Returns the number of query heads H.
    pub fn heads(&self) -> usize {
        match self {
            Self::Heads(heads) => heads.heads,
            Self::Latent(latent) => latent.heads,
        }
    }

    /// Returns number and width of the key-value heads of a model of `hidden` channels; `None` if values aren't those of single
    /// heads.
    pub fn key_value_heads(&self, hidden: usize) -> Option<[usize; 2]> {
        match self {
            Self::Heads(heads) => Some([heads.kv_heads.unwrap_or(heads.heads), self.query_width(hidden)?]),
            Self::Latent(_) => None,
        }
    }

    /// Returns the width of a query head of a model of `hidden` channels; `None` if it depends on the call.
    pub fn query_width(&self, hidden: usize) -> Option<usize> {
        match self {
            Self::Heads(heads) => Some(heads.head_dim.unwrap_or(hidden / heads.heads.max(1))),
            Self::Latent(_) => None,
        }
    }
}

/// Function that transforms queries or keys by their positions, `[B, H, T, D] → [B, H, T, D]`: a rotation with rotary
/// positions, the identity with others.
pub type TransformFn<'a> = &'a mut dyn FnMut(Side, Tensor<4>, &mut Context) -> Tensor<4>;

/// Inputs of an attention kernel.
#[derive(Clone, Debug)]
pub struct QueryKeyValue {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// Factor of the products q · k.
    pub scale: f64,
    /// Form of `value`: per-head values, or shared latents to which `project_output` still has to apply W_v.
    pub latent_form: LatentForm,
}

impl QueryKeyValue {
    /// Removes the first `length` keys and values, and returns inputs with those alone.
    pub(super) fn split_off_keys(&mut self, length: usize) -> Self {
        let rest = self.key.dims()[2] - length;
        let first = Self {
            key: self.key.clone().narrow(2, 0, length),
            value: self.value.clone().narrow(2, 0, length),
            ..self.clone()
        };
        self.key = self.key.clone().narrow(2, length, rest);
        self.value = self.value.clone().narrow(2, length, rest);
        first
    }
}

/// Queries over cached tensors in pages.
#[derive(Clone, Debug)]
pub struct PagedQuery {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// Cached tensors that a key is made of, in this order: their widths add up to D.
    pub keys: Vec<usize>,
    /// Cached tensor of the values.
    pub value: usize,
    /// Factor of the products q · k.
    pub scale: f64,
    /// Form of the values.
    pub latent_form: LatentForm,
}

/// Form of the values that a projection passes to the attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LatentForm {
    /// The kernel's values are those of each head.
    #[default]
    Expanded,
    /// The kernel's values are the shared latents (absorbed MLA). `project_output` applies W_v to the kernel's output.
    Absorbed,
}

/// Projection of queries, keys, values and output.
pub trait Projection {
    /// Returns what is cached of each token of `x [B, T, M]`. Keys are transformed by their positions before they are cached.
    fn project_key_value(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> KeyValue;

    /// Returns the kernel inputs: queries of `x [B, T, M]`, keys and values of all cached tokens.
    fn project_query(
        &self,
        x: Tensor<3>,
        key_value: KeyValue,
        cx: &mut Context,
        transform: TransformFn,
    ) -> QueryKeyValue;

    /// Returns queries of `x [B, T, M]` for cached tensors that are read where they are: keys and values are cached tensors as
    /// [`project_key_value`](Self::project_key_value) returned them.
    fn project_paged_query(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> PagedQuery;

    /// Projects the heads' outputs, `[B, H, T, E] → [B, T, M]`. `latent_form` is that of the kernel inputs.
    fn project_output(&self, out: Tensor<4>, latent_form: LatentForm, cx: &Context) -> Tensor<3>;

    /// Returns heads and width of each cached tensor: `[[G, D], [G, D]]` for keys and values.
    fn key_value_shapes(&self) -> Vec<[usize; 2]>;

    /// Whether fused CPU kernels support its outputs.
    fn has_cpu_kernel(&self) -> bool;

    /// Returns the floating-point operations per token (projections), and those per token and visible key.
    fn flops(&self) -> (f64, f64);

    /// Returns a summary for listings: `4 heads of 16, 2 kv`.
    fn describe(&self) -> String;
}
