//! Multi-head latent attention (MLA, 2405.04434, section 2.1): a token is kept as one latent c, of which the keys and
//! values of all heads are made, and one key that carries its position, shared by the heads. Read in two forms that
//! compute the same: expanded (keys and values are made, for long reads) and absorbed (the query goes to the latents:
//! one key a token for all heads, for decoding).
//!
//! B batch, H heads, T queries, S keys, M hidden, R rank of the latent, N width of a head without position, P with,
//! E width of a value.

mod config;

pub use config::LatentProjectionConfig;

use super::{KeyValue, Projection, heads::split_heads};
use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::Norm,
    part::attention::{LatentForm, QueryKeyValue, RotateFn},
    variant::{BuildContext, Card, MAX_WIDTH, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;

/// Matrices down to the latents and up to heads.
#[derive(Module, Debug)]
pub struct LatentProjection {
    q_down: Option<Linear>,
    q_norm: Option<Norm>,
    /// `[M or query rank, H (N + P)]`.
    q: Linear,
    /// `[M, R]`.
    kv_down: Linear,
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
}

impl Variant for LatentProjection {
    type Config = LatentProjectionConfig;
    const CARD: Card = Card {
        state: "rank + rope width a token",
        time: "T²",
        incompatible_with: "widths of 0, positions that turn an odd number of dimensions",
        ..Card::new("latent", "2405.04434")
    };

    fn resolve(config: &mut LatentProjectionConfig, around: &BuildContext) {
        let widths = config.dims(around.hidden);
        config.kv_lora_rank = Some(widths.rank);
        config.qk_nope_head_dim = Some(widths.nope);
        config.qk_rope_head_dim = Some(widths.rope);
        config.v_head_dim = Some(widths.value);
    }

    fn check(config: &LatentProjectionConfig, around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        let widths = config.dims(around.hidden);
        let all = [
            ("heads", widths.heads),
            ("kv_lora_rank", widths.rank),
            ("qk_nope_head_dim", widths.nope),
            ("qk_rope_head_dim", widths.rope),
            ("v_head_dim", widths.value),
            ("q_lora_rank", config.q_lora_rank.unwrap_or(1)),
        ];
        for (key, width) in all {
            let together =
                if key == "heads" || key.ends_with("rank") { width } else { width.saturating_mul(widths.heads) };
            if width == 0 || together > MAX_WIDTH {
                return refuse(key, format!("from 1 to {MAX_WIDTH} (of all heads together), found {width}"));
            }
        }
        match around.position.check_heads(widths.heads, widths.rope) {
            Err(reason) => refuse("qk_rope_head_dim", reason),
            Ok(()) => config.norm.check(&BuildContext { hidden: widths.rank, ..*around }, &format!("{path}.norm")),
        }
    }

    fn init(config: &LatentProjectionConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let (m, w) = (around.hidden, config.dims(around.hidden));
        let norm = |name: &str, width, init: &mut Initializer| {
            init.scope(name, |init| config.norm.init(&BuildContext { hidden: width, ..*around }, init))
        };
        let std = 1.0 / (w.rank as f64).sqrt();
        Self {
            q_down: config.q_lora_rank.map(|rank| Linear::new("q_down", [m, rank], false, init)),
            q_norm: config.q_lora_rank.map(|rank| norm("q_norm", rank, init)),
            q: Linear::new("q", [config.q_lora_rank.unwrap_or(m), w.heads * (w.nope + w.rope)], false, init),
            kv_down: Linear::new("kv_down", [m, w.rank], false, init),
            kv_norm: norm("kv_norm", w.rank, init),
            k_rope: Linear::new("k_rope", [m, w.rope], false, init),
            k: init.normal("k", [w.rank, w.heads * w.nope], std),
            v: init.normal("v", [w.rank, w.heads * w.value], std),
            o: Linear::new_residual("o", [w.heads * w.value, m], false, init),
            heads: w.heads,
        }
    }
}

impl Projection for LatentProjection {
    fn project_key_value(&self, x: Tensor<3>, cx: &mut Context, rotate: RotateFn) -> KeyValue {
        let latent = self.kv_norm.forward(self.kv_down.forward_with(x.clone(), cx));
        vec![latent.unsqueeze_dim(1), rotate(self.k_rope.forward_with(x, cx).unsqueeze_dim(1), cx)]
    }

    fn project_query(&self, x: Tensor<3>, entries: KeyValue, cx: &mut Context, rotate: RotateFn) -> QueryKeyValue {
        let [latent, turned]: [Tensor<4>; 2] = entries.try_into().expect("an entry is a latent and a turned key");
        let ([b, _, s, _], [plain, turn, _]) = (latent.dims(), self.head_dims());
        let query = split_heads(self.query_states(x, cx), self.heads);
        let t = query.dims()[2];
        let q_plain = query.clone().narrow(3, 0, plain);
        let q_turned = rotate(query.narrow(3, plain, turn), cx);
        let scale = 1.0 / ((plain + turn) as f64).sqrt();
        // Made keys and values cost S products of rank R; absorbed queries make each look R wide. A few queries look.
        if cx.state.is_some() && t < plain {
            let q = q_plain.matmul(self.weight_by_head(&self.k).swap_dims(2, 3));
            let query = Tensor::cat(vec![q, q_turned], 3);
            let key = Tensor::cat(vec![latent.clone(), turned], 3);
            return QueryKeyValue { query, key, value: latent, scale, latent_form: LatentForm::Absorbed };
        }
        let key = latent.clone().matmul(self.weight_by_head(&self.k));
        let turned = turned.expand([b, self.heads, s, turn]);
        let (query, key) = (Tensor::cat(vec![q_plain, q_turned], 3), Tensor::cat(vec![key, turned], 3));
        QueryKeyValue {
            query,
            key,
            value: latent.matmul(self.weight_by_head(&self.v)),
            scale,
            latent_form: LatentForm::Expanded,
        }
    }

    fn project_output(&self, out: Tensor<4>, form: LatentForm, cx: &Context) -> Tensor<3> {
        let out = match form {
            LatentForm::Expanded => out,
            LatentForm::Absorbed => out.matmul(self.weight_by_head(&self.v)),
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
        let [plain, turned, value] = self.head_dims();
        (matrices.map(Linear::flops).sum::<f64>() + up, 2.0 * (self.heads * (plain + turned + value)) as f64)
    }

    fn describe(&self) -> String {
        let [plain, turned, value] = self.head_dims();
        let rank = self.kv_down.size()[1];
        format!("{} heads of {plain} + {turned}, values {value}, latent {rank}", self.heads)
    }
}

impl LatentProjection {
    fn query_states(&self, x: Tensor<3>, cx: &Context) -> Tensor<3> {
        match (&self.q_down, &self.q_norm) {
            (Some(down), Some(norm)) => self.q.forward_with(norm.forward(down.forward_with(x, cx)), cx),
            _ => self.q.forward_with(x, cx),
        }
    }

    /// Widths of a head: without position, with, and of its value.
    fn head_dims(&self) -> [usize; 3] {
        let plain = self.k.dims()[1] / self.heads;
        [plain, self.q.size()[1] / self.heads - plain, self.v.dims()[1] / self.heads]
    }

    /// `[R, H X] → [1, H, R, X]`.
    fn weight_by_head(&self, weight: &Param<Tensor<2>>) -> Tensor<4> {
        let [rank, all] = weight.dims();
        weight.val().reshape([rank, self.heads, all / self.heads]).swap_dims(0, 1).unsqueeze_dim(0)
    }
}
