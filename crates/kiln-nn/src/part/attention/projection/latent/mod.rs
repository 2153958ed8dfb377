//! Multi-head latent attention (MLA, 2405.04434, section 2.1).
//!
//! The cache holds one latent c = norm(x W_kv_down) of rank R and one rotary key of width P for each token, shared by all
//! heads. A head's key is (c W_k, rotary key), its query (q_nope, q_rope), its value c W_v. Queries may come from a latent too
//! (`q_lora_rank`). Scale: 1/√(N + P), or `scale`.
//!
//! Two forms compute the same attention:
//!
//! * **expanded**: keys and values of all heads are computed from the latents, 2 S R H (N + E) operations. For many queries;
//! * **absorbed**: (q_nope W_kᵀ) · c replaces q_nope · (c W_k), so all heads share one key of width R + P, and W_v is applied
//!   to the output. For T < N queries with a cache, as in decoding.
//!
//! Parameters: `q_down.weight [M, q rank]` and `q_norm` (with `q_lora_rank`), `q.weight [M or q rank, H (N + P)]`,
//! `kv_down.weight [M, R]`, `kv_norm`, `k_rope.weight [M, P]`, `k [R, H N]`, `v [R, H E]`, `o.weight [H E, M]`, and with
//! `bias` those of `q_down`, `kv_down`, `k_rope` and `o`.
//!
//! Shapes: B batch, H heads, T queries, S keys, M hidden, R rank of the latent, N width of a head without position, P width of
//! its rotary part, E width of a value.

mod config;

pub use config::LatentProjectionConfig;

use super::{KeyValue, PagedQuery, Projection, heads::split_heads};
use crate::{
    arithmetic::product_by_head,
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::Norm,
    part::attention::{LatentForm, QueryKeyValue, TransformFn},
    position::Side,
    variant::{BuildContext, Card, MAX_WIDTH, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::ValidationError;

/// Latent projection (MLA): matrices down to the latents and up to the heads.
#[derive(Module, Debug)]
pub struct LatentProjection {
    /// `[M, query rank]`.
    q_down: Option<Linear>,
    /// Norm of the query latent.
    q_norm: Option<Norm>,
    /// `[M or query rank, H (N + P)]`.
    q: Linear,
    /// `[M, R]`.
    kv_down: Linear,
    /// Norm of the key-value latent.
    kv_norm: Norm,
    /// `[M, P]`.
    k_rope: Linear,
    /// `[R, H N]`.
    k: Param<Tensor<2>>,
    /// `[R, H E]`.
    v: Param<Tensor<2>>,
    /// `[H E, M]`.
    o: Linear,
    #[module(skip)]
    heads: usize,
    /// Factor of the query-key products.
    #[module(skip)]
    scale: f64,
}

impl Variant for LatentProjection {
    type Config = LatentProjectionConfig;
    const CARD: Card = Card {
        state: "rank + rope width per token",
        time: "T²",
        incompatible_with: "widths of 0, rotary positions on an odd number of dimensions",
        ..Card::new("latent", "2405.04434")
    };

    fn resolve(config: &mut LatentProjectionConfig, build: &BuildContext) {
        let widths = config.dims(build.hidden);
        config.kv_lora_rank = Some(widths.rank);
        config.qk_nope_head_dim = Some(widths.nope);
        config.qk_rope_head_dim = Some(widths.rope);
        config.v_head_dim = Some(widths.value);
    }

    fn check(config: &LatentProjectionConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let widths = config.dims(build.hidden);
        let all = [
            ("heads", widths.heads),
            ("kv_lora_rank", widths.rank),
            ("qk_nope_head_dim", widths.nope),
            ("qk_rope_head_dim", widths.rope),
            ("v_head_dim", widths.value),
            ("q_lora_rank", config.q_lora_rank.unwrap_or(1)),
        ];
        for (key, width) in all {
            let is_total = key == "heads" || key.ends_with("rank");
            let total = if is_total { width } else { width.saturating_mul(widths.heads) };
            if width == 0 || total > MAX_WIDTH {
                return invalid(path, key, format!("expected from 1 to {MAX_WIDTH} (over all heads), found {width}"));
            }
        }
        if config.scale.is_some_and(|scale| !(scale > 0.0 && scale.is_finite())) {
            let reason = format!("expected a finite number above 0, found {}", config.scale.unwrap_or_default());
            return invalid(path, "scale", reason);
        }
        if build.position.reads_queries() {
            let reason = format!(
                "`{}` positions read queries of one width; those of a latent projection have another width in decoding",
                build.position.name()
            );
            return Err(ValidationError::new(path, reason).with_suggestion("position = \"rotary\""));
        }
        match build.position.check_heads(widths.heads, widths.rope) {
            Err(reason) => invalid(path, "qk_rope_head_dim", reason),
            Ok(()) => config.norm.check(&BuildContext { hidden: widths.rank, ..*build }, &format!("{path}.norm")),
        }
    }

    fn init(config: &LatentProjectionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (m, dims) = (build.hidden, config.dims(build.hidden));
        let norm = |name: &str, width, init: &mut Initializer| {
            init.scope(name, |init| config.norm.init(&BuildContext { hidden: width, ..*build }, init))
        };
        let std = 1.0 / (dims.rank as f64).sqrt();
        Self {
            q_down: config.q_lora_rank.map(|rank| Linear::new("q_down", [m, rank], config.bias, init)),
            q_norm: config.q_lora_rank.map(|rank| norm("q_norm", rank, init)),
            q: Linear::new("q", [config.q_lora_rank.unwrap_or(m), dims.heads * (dims.nope + dims.rope)], false, init),
            kv_down: Linear::new("kv_down", [m, dims.rank], config.bias, init),
            kv_norm: norm("kv_norm", dims.rank, init),
            k_rope: Linear::new("k_rope", [m, dims.rope], config.bias, init),
            k: init.normal("k", [dims.rank, dims.heads * dims.nope], std),
            v: init.normal("v", [dims.rank, dims.heads * dims.value], std),
            o: Linear::new_residual("o", [dims.heads * dims.value, m], config.bias, init),
            heads: dims.heads,
            scale: config.scale.unwrap_or(1.0 / ((dims.nope + dims.rope) as f64).sqrt()),
        }
    }
}

impl Projection for LatentProjection {
    fn project_key_value(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> KeyValue {
        let latent = self.kv_norm.forward(self.kv_down.forward_with(x.clone(), cx));
        let key_rope = self.k_rope.forward_with(x, cx).unsqueeze_dim(1);
        vec![latent.unsqueeze_dim(1), transform(Side::Key, key_rope, cx)]
    }

    fn project_query(
        &self,
        x: Tensor<3>,
        key_value: KeyValue,
        cx: &mut Context,
        transform: TransformFn,
    ) -> QueryKeyValue {
        let [latent, key_rope]: [Tensor<4>; 2] = key_value.try_into().expect("a latent and a rotary key");
        let [b, _, s, _] = latent.dims();
        let [nope, rope, _] = self.head_dims();
        let [query_nope, query_rope] = self.query_parts(x, cx, transform);
        let t = query_nope.dims()[2];
        let scale = self.scale;
        // Expanding computes K and V of all S keys: S·R·(N + E) multiplications per head, for any T. Absorbing makes each of the
        // T·S scores R wide instead of N, and each value R wide instead of E, which is cheaper for few queries.
        // The two forms differ in rounding: in exact arithmetic all calls absorb, whatever their number of queries.
        if cx.arithmetic.is_exact() || cx.state.is_some() && t < nope {
            let query = self.absorbed_query(query_nope, query_rope, cx.arithmetic);
            let key = Tensor::cat(vec![latent.clone(), key_rope], 3);
            return QueryKeyValue { query, key, value: latent, scale, latent_form: LatentForm::Absorbed };
        }
        let key_nope = latent.clone().matmul(self.weight_by_head(&self.k));
        let key_rope = key_rope.expand([b, self.heads, s, rope]);
        QueryKeyValue {
            query: Tensor::cat(vec![query_nope, query_rope], 3),
            key: Tensor::cat(vec![key_nope, key_rope], 3),
            value: latent.matmul(self.weight_by_head(&self.v)),
            scale,
            latent_form: LatentForm::Expanded,
        }
    }

    /// Always the absorbed form: a key is a latent and a rotary key, a value is the latent.
    fn project_paged_query(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> PagedQuery {
        let [query_nope, query_rope] = self.query_parts(x, cx, transform);
        PagedQuery {
            query: self.absorbed_query(query_nope, query_rope, cx.arithmetic),
            keys: vec![0, 1],
            value: 0,
            scale: self.scale,
            latent_form: LatentForm::Absorbed,
        }
    }

    fn project_output(&self, out: Tensor<4>, latent_form: LatentForm, cx: &Context) -> Tensor<3> {
        let out = match latent_form {
            LatentForm::Expanded => out,
            LatentForm::Absorbed => product_by_head(out, self.weight_by_head(&self.v), cx.arithmetic),
        };
        let [b, h, t, e] = out.dims();
        self.o.forward_with(out.swap_dims(1, 2).reshape([b, t, h * e]), cx)
    }

    fn key_value_shapes(&self) -> Vec<[usize; 2]> {
        vec![[1, self.kv_down.size()[1]], [1, self.head_dims()[1]]]
    }

    fn has_cpu_kernel(&self) -> bool {
        self.q.has_cpu_kernel()
    }

    fn flops(&self) -> (f64, f64) {
        let matrices = [&self.q, &self.kv_down, &self.k_rope, &self.o].into_iter().chain(&self.q_down);
        let up = 2.0 * (self.k.shape().num_elements() + self.v.shape().num_elements()) as f64;
        let [nope, rope, value] = self.head_dims();
        (matrices.map(Linear::flops).sum::<f64>() + up, 2.0 * (self.heads * (nope + rope + value)) as f64)
    }

    fn describe(&self) -> String {
        let [nope, rope, value] = self.head_dims();
        let rank = self.kv_down.size()[1];
        format!("{} heads of {nope} + {rope}, values {value}, latent {rank}", self.heads)
    }
}

impl LatentProjection {
    /// Queries of all heads, `[B, T, H (N + P)]`, through the query latent if there is one.
    fn query_states(&self, x: Tensor<3>, cx: &Context) -> Tensor<3> {
        match (&self.q_down, &self.q_norm) {
            (Some(down), Some(norm)) => self.q.forward_with(norm.forward(down.forward_with(x, cx)), cx),
            _ => self.q.forward_with(x, cx),
        }
    }

    /// Queries of `x [B, T, M]`: their parts without position, `[B, H, T, N]`, and rotated, `[B, H, T, P]`.
    fn query_parts(&self, x: Tensor<3>, cx: &mut Context, transform: TransformFn) -> [Tensor<4>; 2] {
        let [nope, rope, _] = self.head_dims();
        let query = split_heads(self.query_states(x, cx), self.heads);
        [query.clone().narrow(3, 0, nope), transform(Side::Query, query.narrow(3, nope, rope), cx)]
    }

    /// (q_nope W_kᵀ, q_rope), `[B, H, T, R + P]`: queries for keys that are a latent and a rotary key.
    fn absorbed_query(&self, query_nope: Tensor<4>, query_rope: Tensor<4>, arithmetic: Arithmetic) -> Tensor<4> {
        let absorbed = product_by_head(query_nope, self.weight_by_head(&self.k).swap_dims(2, 3), arithmetic);
        Tensor::cat(vec![absorbed, query_rope], 3)
    }

    /// Widths N, P and E of a head.
    fn head_dims(&self) -> [usize; 3] {
        let nope = self.k.dims()[1] / self.heads;
        [nope, self.q.size()[1] / self.heads - nope, self.v.dims()[1] / self.heads]
    }

    /// A weight split by head, `[R, H X] → [1, H, R, X]`.
    fn weight_by_head(&self, weight: &Param<Tensor<2>>) -> Tensor<4> {
        let [rank, all] = weight.dims();
        weight.val().reshape([rank, self.heads, all / self.heads]).swap_dims(0, 1).unsqueeze_dim(0)
    }
}
