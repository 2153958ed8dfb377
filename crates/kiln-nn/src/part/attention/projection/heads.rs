//! Multi-head, grouped-query and multi-query projection.
//!
//! H query heads and G key-value heads of width D. G = H is multi-head attention (1706.03762, section 3.2.2), G = 1
//! multi-query (1911.02150), between them grouped-query (2305.13245): H / G query heads share keys and values.
//!
//! In this order: q = x W_q + b_q, the norm of queries and keys if there is one ([`QueryKeyNormConfig`]), `clip_qkv`, the
//! rotary embedding. Values are only clipped.
//!
//! Parameters: `q.weight [M, H D]`, `k.weight [M, G D]`, `v.weight [M, G D]`, `o.weight [H D, M]`, biases of the output
//! widths (`k` and `v` only with keys and values of its own), and with `qk_norm` those of the norm under `q_norm` and `k_norm`. Cost: 4 M D (H + G) operations per token, 4 H D per key. Cache: 2 G D values per token.

use super::{KeyValue, PagedQuery, Projection, QueryKeyNormConfig, QueryKeyNormScope};
use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::Norm,
    part::attention::{LatentForm, QueryKeyValue, TransformFn},
    position::Side,
    variant::{BuildContext, Card, MAX_WIDTH, Variant, check_limit, invalid},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`MultiHeadProjection`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MultiHeadProjectionConfig {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key-value heads; must divide `heads`. Absent: `heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of a head. Absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Use biases in all four projections.
    pub bias: bool,
    /// Use a bias in the output projection. Absent: same as `bias`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_bias: Option<bool>,
    /// Factor applied to query-key products. Absent: 1/√(head width). T5 uses 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Norm of queries and keys, before the rotary embedding. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<QueryKeyNormConfig>,
    /// Limit of queries, keys and values: each is clipped to [−limit, limit] (MPT, OLMo, DBRX). Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_qkv: Option<f64>,
}

impl Default for MultiHeadProjectionConfig {
    fn default() -> Self {
        Self {
            heads: 4,
            kv_heads: None,
            head_dim: None,
            bias: false,
            out_bias: None,
            scale: None,
            qk_norm: None,
            clip_qkv: None,
        }
    }
}

/// Query, key, value and output projections.
#[derive(Module, Debug)]
pub struct MultiHeadProjection {
    /// Queries, `[M, H D]`.
    q: Linear,
    /// Keys, `[M, G D]`; absent with the keys of another layer.
    k: Option<Linear>,
    /// Values, `[M, G D]`; absent with the values of another layer.
    v: Option<Linear>,
    /// Output, `[H D, M]`.
    o: Linear,
    /// Norm of the queries.
    q_norm: Option<Norm>,
    /// Norm of the keys.
    k_norm: Option<Norm>,
    /// Which values the norms normalize together.
    #[module(skip)]
    norm_scope: QueryKeyNormScope,
    /// Limit of queries, keys and values.
    #[module(skip)]
    clip: Option<f64>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
    #[module(skip)]
    scale: f64,
}

impl Variant for MultiHeadProjection {
    type Config = MultiHeadProjectionConfig;
    const CARD: Card = Card {
        state: "2 × kv heads × head width per token",
        time: "T²",
        incompatible_with: "`kv_heads` that does not divide `heads`",
        ..Card::new("heads", "1706.03762, 2305.13245, 1911.02150")
    };

    fn resolve(config: &mut MultiHeadProjectionConfig, build: &BuildContext) {
        config.kv_heads.get_or_insert(config.heads);
        config.head_dim.get_or_insert(build.hidden / config.heads.max(1));
        config.out_bias = config.out_bias.filter(|own| *own != config.bias);
    }

    fn check(config: &MultiHeadProjectionConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let (heads, kv_heads) = (config.heads, config.kv_heads.unwrap_or(config.heads));
        if heads == 0 || kv_heads == 0 {
            return invalid(path, if heads == 0 { "heads" } else { "kv_heads" }, "expected at least 1 head, found 0");
        }
        if !heads.is_multiple_of(kv_heads) {
            return invalid(path, "kv_heads", format!("kv_heads = {kv_heads} does not divide heads = {heads}"));
        }
        if config.head_dim.is_none() && !build.hidden.is_multiple_of(heads) {
            return invalid(path, "heads", format!("heads = {heads} does not divide hidden = {}", build.hidden));
        }
        let width = config.head_dim.unwrap_or(build.hidden / heads);
        match build.position.check_heads(heads, width) {
            _ if width.saturating_mul(heads) > MAX_WIDTH => invalid(
                path,
                "head_dim",
                format!("heads × head_dim must be at most {MAX_WIDTH}, found {heads} × {width}"),
            ),
            _ if width == 0 => invalid(path, "head_dim", "expected at least 1, found 0"),
            _ if config.scale.is_some_and(|scale| !(scale > 0.0 && scale.is_finite())) => invalid(
                path,
                "scale",
                format!("expected a finite number above 0, found {}", config.scale.unwrap_or_default()),
            ),
            Err(reason) => invalid(path, "head_dim", reason),
            Ok(()) => {
                check_limit(config.clip_qkv, format!("{path}.clip_qkv"))?;
                let norm = config.qk_norm.as_ref();
                norm.map_or(Ok(()), |norm| norm.check(width, build, &format!("{path}.qk_norm")))
            }
        }
    }

    fn init(config: &MultiHeadProjectionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self::build(config, true, build, init)
    }
}

impl MultiHeadProjection {
    /// Projection of queries and output only, for an attention with the keys and values of another layer.
    pub(in crate::part::attention) fn without_key_value(
        config: &MultiHeadProjectionConfig,
        build: &BuildContext,
        init: &mut Initializer,
    ) -> Self {
        Self::build(config, false, build, init)
    }

    /// Builds the projection, with keys and values of its own or without.
    fn build(
        config: &MultiHeadProjectionConfig,
        has_key_value: bool,
        build: &BuildContext,
        init: &mut Initializer,
    ) -> Self {
        let (heads, kv_heads) = (config.heads, config.kv_heads.unwrap_or(config.heads));
        let (m, d) = (build.hidden, config.head_dim.unwrap_or(build.hidden / heads));
        let qk_norm = config.qk_norm.as_ref();
        Self {
            q_norm: qk_norm.map(|norm| norm.init("q_norm", [heads, d], build, init)),
            k_norm: qk_norm.filter(|_| has_key_value).map(|norm| norm.init("k_norm", [kv_heads, d], build, init)),
            norm_scope: qk_norm.map_or_else(Default::default, |norm| norm.scope),
            clip: config.clip_qkv,
            q: Linear::new("q", [m, heads * d], config.bias, init),
            k: has_key_value.then(|| Linear::new("k", [m, kv_heads * d], config.bias, init)),
            v: has_key_value.then(|| Linear::new("v", [m, kv_heads * d], config.bias, init)),
            o: Linear::new_residual("o", [heads * d, m], config.out_bias.unwrap_or(config.bias), init),
            heads,
            kv_heads,
            scale: config.scale.unwrap_or(1.0 / (d as f64).sqrt()),
        }
    }
}

impl Projection for MultiHeadProjection {
    fn project_key_value(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> KeyValue {
        let (Some(k), Some(v)) = (&self.k, &self.v) else { return Vec::new() };
        let key = k.forward_with(x.clone(), cx);
        let key = self.clip(self.norm_scope.apply(self.k_norm.as_ref(), key, self.kv_heads));
        let key = transform(Side::Key, split_heads(key, self.kv_heads), cx);
        vec![key, split_heads(self.clip(v.forward_with(x, cx)), self.kv_heads)]
    }

    fn project_query(
        &self,
        x: Tensor<3>,
        key_value: KeyValue,
        cx: &mut Context,
        transform: TransformFn,
    ) -> QueryKeyValue {
        let query = self.query_heads(x, cx, transform);
        let [key, value]: [Tensor<4>; 2] = key_value.try_into().expect("a key and a value tensor");
        QueryKeyValue { query, key, value, scale: self.scale, latent_form: LatentForm::Expanded }
    }

    fn project_paged_query(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> PagedQuery {
        let query = self.query_heads(x, cx, transform);
        PagedQuery { query, keys: vec![0], value: 1, scale: self.scale, latent_form: LatentForm::Expanded }
    }

    fn project_output(&self, out: Tensor<4>, _latent_form: LatentForm, cx: &Context) -> Tensor<3> {
        let [b, h, t, d] = out.dims();
        self.o.forward_with(out.swap_dims(1, 2).reshape([b, t, h * d]), cx)
    }

    fn key_value_shapes(&self) -> Vec<[usize; 2]> {
        vec![[self.kv_heads, self.head_dim()]; 2]
    }

    fn has_cpu_kernel(&self) -> bool {
        self.q.has_cpu_kernel()
    }

    fn flops(&self) -> (f64, f64) {
        let matrices = [&self.q, &self.o].into_iter().chain(&self.k).chain(&self.v);
        (matrices.map(Linear::flops).sum(), 4.0 * (self.heads * self.head_dim()) as f64)
    }

    fn describe(&self) -> String {
        let norm = if self.q_norm.is_some() { ", normed q and k" } else { "" };
        format!("{} heads of {}, {} kv{norm}", self.heads, self.head_dim(), self.kv_heads)
    }
}

impl MultiHeadProjection {
    /// Width D of a head.
    fn head_dim(&self) -> usize {
        self.q.size()[1] / self.heads
    }

    /// Queries of `x [B, T, M]` after norm, limit and rotation, `[B, H, T, D]`.
    fn query_heads(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> Tensor<4> {
        let query = self.q.forward_with(x, cx);
        let query = self.clip(self.norm_scope.apply(self.q_norm.as_ref(), query, self.heads));
        transform(Side::Query, split_heads(query, self.heads), cx)
    }

    /// Queries, keys or values within the limit, if there is one.
    fn clip(&self, x: Tensor<3>) -> Tensor<3> {
        match self.clip {
            Some(limit) => x.clamp(-limit, limit),
            None => x,
        }
    }
}

/// Splits the last dimension into heads: `[B, T, H·D] → [B, H, T, D]`, a view.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, t, m] = x.dims();
    x.reshape([b, t, heads, m / heads]).swap_dims(1, 2)
}
